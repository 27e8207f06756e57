import { add } from "./broadcasting.ts";
import { matmul } from "./matrix.ts";
import { slice, transpose } from "./shaping.ts";
import { int64List, type OperatorNode, operator, sameShape, singleOperator, type Tensor } from "./tensor.ts";
import { nodesInOrder, resolveAlias } from "./traversal.ts";

/**
 * The graph as it runs fastest once its weights are fixed: the same values up to rounding in fewer passes over memory. ONNX
 * Runtime does not find these by itself:
 *
 * - a linear layer's bias is an addition of its own: a product with three operands first fills its result with the bias,
 *   in one thread;
 * - a linear layer of many axes is one product of many axes, without reshapes around it;
 * - queries, keys and values are three products, each turned by heads at once, instead of one that is turned and split.
 *
 * A residual sum and the norm after it stay two operators: `SkipLayerNormalization` takes longer than both. So does
 * `MultiHeadAttention` in the place of all that is between the projections.
 *
 * @param outputs  what the graph computes, by name
 * @returns        the same outputs of a new graph, which has no gradients
 */
export function inferenceForm(outputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const rewriting = new Rewriting(Object.values(outputs));
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, rewriting.result(tensor)]));
}

/** A linear layer over the last of three axes or more: `linear`'s reshape, product and reshape. */
interface LinearLayer {
  readonly x: Tensor; // [..., in]
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
}

class Rewriting {
  readonly #results = new Map<Tensor, Tensor>();

  constructor(outputs: readonly Tensor[]) {
    for (const node of nodesInOrder(outputs)) {
      const results = this.#headsOfPart(node) ?? this.#linear(node) ?? this.#copy(node);
      for (const [i, result] of results.entries()) this.#results.set(node.outputs[i] as Tensor, result);
    }
  }

  /** What stands for a tensor of the old graph. */
  result(aliased: Tensor): Tensor {
    const tensor = resolveAlias(aliased);
    return this.#results.get(tensor) ?? tensor; // inputs, parameters and constants stay
  }

  #copy({ type, domain, attributes, inputs, outputs }: OperatorNode): Tensor[] {
    return operator({
      type,
      domain,
      attributes: { ...attributes },
      inputs: inputs.map((operand) => operand && this.result(operand)),
      outputs: outputs.map(({ shape, dtype }) => ({ shape, dtype })),
    });
  }

  #linear(node: OperatorNode): Tensor[] | undefined {
    const layer = linearLayerOf(node.outputs[0] as Tensor);
    if (layer) return [this.#layer(layer)];
    const [x, weight, bias] = node.inputs as [Tensor, Tensor, Tensor?];
    if (node.type !== "Gemm" || !bias || "beta" in node.attributes) return undefined;
    const product = this.#copy({ ...node, inputs: [x, weight] })[0] as Tensor;
    return [add(product, this.result(bias))];
  }

  #layer({ x, weight, bias }: LinearLayer): Tensor {
    const product = matmul(this.result(x), this.result(weight), { transposeB: true });
    return bias ? add(product, this.result(bias)) : product;
  }

  /** [B, N, parts·heads·width] → [parts, B, heads, N, width], of which one part is taken: its own product instead. */
  #headsOfPart(node: OperatorNode): Tensor[] | undefined {
    const from = node.type === "Reshape" ? resolveAlias(node.inputs[0] as Tensor).source : undefined;
    if (from?.kind !== "operator" || from.node.type !== "Split" || from.node.attributes.axis !== 0) return undefined;
    const turned = operatorOf(from.node.inputs[0], "Transpose");
    const opened = operatorOf(turned?.inputs[0], "Reshape");
    const layer = linearLayerOf(opened?.inputs[0]);
    const target = integersOf(opened?.inputs[1]);
    if (!opened || !layer || !target || String(turned?.attributes.perm) !== "2,0,3,1,4") return undefined;
    const [batch, tokens, parts, heads, width] = (opened.outputs[0] as Tensor).shape as Five;
    const byHead = node.outputs[0] as Tensor;
    if (parts !== from.node.outputs.length || !sameShape(byHead.shape, [batch, heads, tokens, width])) return undefined;
    const rows = heads * width;
    const rowsOf = (whole: Tensor) => slice(this.result(whole), 0, from.index * rows, (from.index + 1) * rows);
    const projected = this.#layer({ x: layer.x, weight: rowsOf(layer.weight), bias: layer.bias && rowsOf(layer.bias) });
    const perToken = singleOperator({
      type: "Reshape",
      inputs: [projected, int64List([target[0], target[1], heads, width] as number[])],
      attributes: { allowzero: 1 },
      shape: [batch, tokens, heads, width],
    });
    return [transpose(perToken, [0, 2, 1, 3])];
  }
}

type Five = readonly [number, number, number, number, number];

function linearLayerOf(y: Tensor | undefined): LinearLayer | undefined {
  const closing = operatorOf(y, "Reshape");
  const product = operatorOf(closing?.inputs[0], "Gemm");
  const opening = operatorOf(product?.inputs[0], "Reshape");
  if (!closing || !product || !opening) return undefined;
  const { transA, transB, alpha } = product.attributes;
  if (transB !== 1 || transA !== undefined || alpha !== undefined) return undefined;
  const [x, weight, bias] = [opening.inputs[0], product.inputs[1], product.inputs[2]] as [Tensor, Tensor, Tensor?];
  const [outputs, inputs] = weight.shape as [number, number];
  const shape = (closing.outputs[0] as Tensor).shape;
  if (x.rank < 3 || x.shape.at(-1) !== inputs) return undefined;
  if (!sameShape(shape, [...x.shape.slice(0, -1), outputs])) return undefined;
  return { x, weight, bias };
}

/** The operator that gives a tensor, if it is of the type and gives it first. */
function operatorOf(tensor: Tensor | undefined, type: string): OperatorNode | undefined {
  const source = tensor && resolveAlias(tensor).source;
  return source?.kind === "operator" && source.node.type === type && source.index === 0 ? source.node : undefined;
}

function integersOf(tensor: Tensor | undefined): number[] | undefined {
  return tensor?.source.kind === "constant" ? Array.from(tensor.source.data as BigInt64Array, Number) : undefined;
}
