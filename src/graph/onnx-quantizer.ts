import onnxProto from "onnx-proto";
import type { Initializers } from "./onnx-initializers.ts";
import { quantizeWeight } from "./quantization.ts";
import type { OperatorNode, Tensor } from "./tensor.ts";

const { onnx } = onnxProto;
const [float32, int8] = [1, 3];

/** A parameter's rows that a linear layer is made of. */
interface WeightRows {
  readonly name: string;
  readonly values: Float32Array; // [out, in]
  readonly outputs: number;
}

/**
 * Encodes linear layers with built-in weights as `DynamicQuantizeMatMul`: weights in signed bytes, one scale an output;
 * activations are quantized to unsigned bytes in the run, by the range they then have. Signed weights are what ONNX
 * Runtime has the fast kernels for.
 */
export class Quantizer {
  readonly #names: ReadonlyMap<Tensor, string>;
  readonly #weights: ReadonlyMap<string, Float32Array>;
  readonly #initializers: Initializers;
  readonly #known = new Set<string>();

  constructor(names: ReadonlyMap<Tensor, string>, weights: ReadonlyMap<string, Float32Array>, into: Initializers) {
    this.#names = names;
    this.#weights = weights;
    this.#initializers = into;
  }

  /** What a linear layer reads beside its weight, which is not in the graph any more; undefined for other nodes. */
  operandsOf(node: OperatorNode): OperatorNode["inputs"] | undefined {
    return this.#weightOf(node) && [node.inputs[0], node.inputs[2]];
  }

  /** The node in bytes, or undefined if it is no linear layer of a built-in weight. */
  encode(node: OperatorNode, nameOf: (tensor: Tensor) => string): InstanceType<typeof onnx.NodeProto> | undefined {
    const rows = this.#weightOf(node);
    if (!rows) return undefined;
    const [x, , bias] = node.inputs as [Tensor, Tensor, Tensor | undefined];
    const { name, values, outputs } = rows;
    const [valuesName, scalesName] = [`${name}/int8`, `${name}/scale`];
    if (!this.#known.has(name)) {
      this.#known.add(name);
      const quantized = quantizeWeight(values, outputs);
      this.#initializers.add(valuesName, [values.length / outputs, outputs], int8, quantized.values);
      this.#initializers.add(scalesName, [outputs], float32, quantized.scales);
    }
    return new onnx.NodeProto({
      opType: "DynamicQuantizeMatMul",
      domain: "com.microsoft",
      name: `n${node.id}`,
      input: [nameOf(x), valuesName, scalesName, "", ...(bias ? [nameOf(bias)] : [])],
      output: [nameOf(node.outputs[0] as Tensor)],
    });
  }

  #weightOf({ type, attributes, inputs }: OperatorNode): WeightRows | undefined {
    const isLinear =
      type === "Gemm" && attributes.transB === 1 && !("transA" in attributes) && !("alpha" in attributes);
    return isLinear ? this.#rowsOf(inputs[1] as Tensor) : undefined;
  }

  #rowsOf(weight: Tensor): WeightRows | undefined {
    const { source } = weight;
    const name = this.#names.get(weight);
    if (name !== undefined) {
      const values = this.#weights.get(name);
      return values && { name, values, outputs: weight.shape[0] };
    }
    if (source.kind !== "operator" || source.node.type !== "Slice") return undefined;
    const [of, start, end, axis, step] = source.node.inputs as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const whole = this.#rowsOf(of);
    if (!whole || integerOf(axis) !== 0 || integerOf(step) !== 1) return undefined;
    const [from, to] = [integerOf(start), integerOf(end)];
    const width = whole.values.length / whole.outputs;
    const values = whole.values.subarray(from * width, to * width);
    return { name: `${whole.name}[${from}:${to}]`, values, outputs: to - from };
  }
}

function integerOf({ source }: Tensor): number {
  return source.kind === "constant" ? Number(source.data[0]) : Number.NaN;
}
