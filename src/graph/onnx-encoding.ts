import onnxProto from "onnx-proto";
import { UserError } from "../core/errors.ts";
import { inferenceForm } from "./inference-form.ts";
import { type ExternalData, Initializers } from "./onnx-initializers.ts";
import { Quantizer } from "./onnx-quantizer.ts";
import {
  type AttributeValue,
  type DataType,
  type OperatorNode,
  type Parameter,
  sizeOf,
  type Tensor,
} from "./tensor.ts";
import { nodesInOrder, resolveAlias } from "./traversal.ts";

const { onnx } = onnxProto;

export interface EncodingOptions {
  /** Parameters by name: graph inputs of these names, unless `weights` gives their values. */
  parameters: ReadonlyMap<string, Parameter>;
  /** Values to build in as initialisers, by parameter name. */
  weights?: ReadonlyMap<string, Float32Array>;
  outputs: Readonly<Record<string, Tensor>>;
  metadata?: Readonly<Record<string, string>>;
  /** Leave the values of large tensors out of the file: whoever loads it is to be handed `external` with it. */
  externalWeights?: boolean;
  /** Write the graph as it runs fastest where its weights are built in, see {@link inferenceForm}. */
  inference?: boolean;
  /** Linear layers whose weights are built in: as they are, or in signed bytes with activations quantized in the run. */
  precision?: "float32" | "int8";
  /** Names of axes whose length a run decides, by input or output; the graph must not depend on them. */
  axisNames?: Readonly<Record<string, readonly (string | undefined)[]>>;
}

export interface EncodedGraph {
  bytes: Uint8Array;
  inputs: { name: string; tensor: Tensor }[]; // all that a run must be fed, parameters included
  nodeCount: number;
  /** Values that the file refers to by `path`, with `externalWeights`. */
  external: ExternalData[];
}

const opsetVersion = 20;
const elementTypes: Record<DataType, number> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };

/** Writes the graph that leads to `outputs` as an ONNX model (opset 20 and ONNX Runtime's own operators). */
export function encodeOnnx({ inference, ...given }: EncodingOptions): EncodedGraph {
  // In bytes a layer's one operator has the bias in it, and is best asked once for all of its outputs.
  const options = inference && given.precision !== "int8" ? { ...given, outputs: inferenceForm(given.outputs) } : given;
  const names = new Map<Tensor, string>();
  const inputs: EncodedGraph["inputs"] = [];
  const initializers = new Initializers(options.externalWeights ?? false);
  const constants = new Map<string, string>();
  const parameterNames = new Map<Tensor, string>([...options.parameters].map(([name, parameter]) => [parameter, name]));
  const quantizer =
    options.precision === "int8" && options.weights
      ? new Quantizer(parameterNames, options.weights, initializers)
      : undefined;
  const nodes = resultsLastReversed(
    nodesInOrder(Object.values(options.outputs), (node) => quantizer?.operandsOf(node) ?? node.inputs),
  );

  const nameLeaf = (tensor: Tensor): string => {
    const { source } = tensor;
    if (source.kind === "input") {
      inputs.push({ name: source.name, tensor });
      return source.name;
    }
    if (source.kind === "constant") {
      const key = `${tensor.dtype}:${tensor.shape.join("x")}:${source.data.length <= 16 ? source.data.join() : names.size}`;
      const known = constants.get(key);
      if (known) return known;
      const name = `constant_${constants.size}`;
      constants.set(key, name);
      initializers.add(name, tensor.shape, elementTypes[tensor.dtype], source.data);
      return name;
    }
    const name = parameterNames.get(tensor);
    if (name === undefined) {
      throw new UserError(
        "mismatch",
        "encodeOnnx: every parameter in the graph must be named, one is not. Pass the whole model's state",
      );
    }
    const values = options.weights?.get(name);
    if (values) {
      if (values.length !== sizeOf(tensor.shape)) {
        throw new UserError(
          "mismatch",
          `encodeOnnx: ${name} must hold ${sizeOf(tensor.shape)} values, got ${values.length}`,
        );
      }
      initializers.add(name, tensor.shape, elementTypes[tensor.dtype], values);
    } else {
      inputs.push({ name, tensor });
    }
    return name;
  };

  const nameOf = (tensor: Tensor): string => {
    const direct = resolveAlias(tensor);
    const known = names.get(direct);
    if (known !== undefined) return known;
    const { source } = direct;
    const name =
      source.kind === "operator" ? `t${source.node.id}${source.index > 0 ? `_${source.index}` : ""}` : nameLeaf(direct);
    names.set(direct, name);
    return name;
  };

  const used = usedOutputs(nodes, Object.values(options.outputs));
  const encodedNodes = nodes.map((node) => quantizer?.encode(node, nameOf) ?? encodeNode(node, nameOf, used));
  const outputs = Object.entries(options.outputs).map(([name, tensor]) => {
    encodedNodes.push(new onnx.NodeProto({ opType: "Identity", input: [nameOf(tensor)], output: [name] }));
    return valueInfo(name, tensor, options.axisNames?.[name]);
  });

  const taken = new Set<string>();
  for (const name of [...inputs.map((given) => given.name), ...Object.keys(options.outputs)]) {
    if (taken.has(name)) {
      throw new UserError(
        "mismatch",
        `encodeOnnx: inputs, parameters and outputs must have names of their own, got ${name} twice`,
      );
    }
    taken.add(name);
  }

  const model = new onnx.ModelProto({
    irVersion: 9,
    producerName: "florence",
    opsetImport: [
      { domain: "", version: opsetVersion },
      { domain: "com.microsoft", version: 1 },
    ],
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    graph: {
      name: "florence",
      node: encodedNodes,
      initializer: initializers.tensors,
      input: inputs.map(({ name, tensor }) => valueInfo(name, tensor, options.axisNames?.[name])),
      output: outputs,
    },
  });
  const bytes = onnx.ModelProto.encode(model).finish();
  return { bytes, inputs, nodeCount: encodedNodes.length, external: initializers.external };
}

/**
 * Moves the operators that no other reads to the end, the latest first. ONNX Runtime orders a graph by a depth-first
 * search from its last such operator back: with the natural order it would compute the gradient of the first layer's
 * weights first and those of all other layers after it, every activation being held meanwhile. In this order each
 * weight's gradient is taken as soon as its operands are there, and they are freed.
 */
function resultsLastReversed(nodes: readonly OperatorNode[]): OperatorNode[] {
  const read = new Set<OperatorNode>();
  for (const node of nodes) {
    for (const operand of node.inputs) {
      const source = operand && resolveAlias(operand).source;
      if (source?.kind === "operator") read.add(source.node);
    }
  }
  return [...nodes.filter((node) => read.has(node)), ...nodes.filter((node) => !read.has(node)).reverse()];
}

/** Outputs that somebody reads; optional outputs nobody reads are left unnamed, so that they are not computed. */
function usedOutputs(nodes: readonly OperatorNode[], outputs: readonly Tensor[]): Set<Tensor> {
  const used = new Set(outputs.map(resolveAlias));
  for (const node of nodes) for (const operand of node.inputs) if (operand) used.add(resolveAlias(operand));
  return used;
}

function encodeNode(node: OperatorNode, nameOf: (tensor: Tensor) => string, used: ReadonlySet<Tensor>) {
  const inputNames = node.inputs.map((operand) => (operand ? nameOf(operand) : ""));
  // Identity carries its gradient's second operand for the rule's sake only.
  const operands = node.type === "Identity" ? inputNames.slice(0, 1) : inputNames;
  const outputNames = node.outputs.map((output, i) => (i === 0 || used.has(output) ? nameOf(output) : ""));
  while (outputNames.at(-1) === "") outputNames.pop();
  return new onnx.NodeProto({
    opType: node.type,
    domain: node.domain,
    name: `n${node.id}`,
    input: operands,
    output: outputNames,
    attribute: Object.entries(node.attributes).map(([name, value]) => encodeAttribute(name, value)),
  });
}

function encodeAttribute(name: string, value: AttributeValue) {
  const { AttributeType } = onnx.AttributeProto;
  if (typeof value === "number") return { name, type: AttributeType.INT, i: value };
  if (typeof value === "string") return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if ("float" in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: [...value] };
}

function valueInfo(name: string, tensor: Tensor, axisNames: readonly (string | undefined)[] = []) {
  const dim = tensor.shape.map((dimValue, i) => (axisNames[i] ? { dimParam: axisNames[i] } : { dimValue }));
  return { name, type: { tensorType: { elemType: elementTypes[tensor.dtype], shape: { dim } } } };
}
