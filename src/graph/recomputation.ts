import { mul, reshape } from "./broadcasting.ts";
import { cast } from "./elementwise.ts";
import { gradientsOfMany } from "./gradients.ts";
import { slice } from "./shaping.ts";
import { alias, constant, int64List, type OperatorNode, singleOperator, type Tensor } from "./tensor.ts";

/**
 * Activation checkpointing of a segment: its results are kept, all within it is computed again when the gradient comes
 * back. Chen et al., arXiv:1604.06174.
 *
 * The second computation starts from the inputs made to wait for the incoming gradient, so that it cannot run early.
 * Compile with `recompute: true`, or ONNX Runtime will find the two computations equal and merge them.
 *
 * @param segment  builds the segment's graph; called twice, it must build the same both times
 * @param inputs   all that the segment depends on besides parameters and constants
 */
export function checkpointed(segment: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  const first = segment(...inputs);
  const parameters = parametersBetween(first, inputs);
  return alias([first], [...inputs, ...parameters], ([g]) => {
    if (!g) return [];
    const delayed = inputs.map((input) => waitFor(input, g));
    const again = segment(...delayed);
    return gradientsOfMany([[again, g]], [...delayed, ...parameters]);
  })[0] as Tensor;
}

/** `x` itself, but available only once `signal` is: its shape operand takes an exact zero from the signal. */
function waitFor(x: Tensor, signal: Tensor): Tensor {
  const element = slice(reshape(signal, [signal.size]), 0, 0, 1);
  // A comparison, unlike a product, is zero for an infinite or undefined element too.
  const zero = mul(cast(compareBelowAll(element), "float32"), 0);
  const shape = addInt64(int64List(x.shape), cast(zero, "int64"));
  return singleOperator({
    type: "Reshape",
    inputs: [x, shape],
    shape: x.shape,
    dtype: x.dtype,
    gradient: ([g]) => (g ? [g] : []),
  });
}

function compareBelowAll(x: Tensor): Tensor {
  return singleOperator({
    type: "Less",
    inputs: [x, constant(Float32Array.of(-3.4e38), [1])],
    shape: x.shape,
    dtype: "bool",
  });
}

function addInt64(a: Tensor, b: Tensor): Tensor {
  return singleOperator({ type: "Add", inputs: [a, b], shape: a.shape, dtype: "int64" });
}

/** Parameters that `output` depends on by a path that avoids `inputs`. */
function parametersBetween(output: Tensor, inputs: readonly Tensor[]): Tensor[] {
  const found = new Set<Tensor>();
  const visited = new Set<OperatorNode>();
  const stack: Tensor[] = [output];
  while (stack.length > 0) {
    const tensor = stack.pop() as Tensor;
    if (inputs.includes(tensor)) continue;
    const { source } = tensor;
    if (source.kind === "parameter") found.add(tensor);
    if (source.kind !== "operator" && source.kind !== "alias") continue;
    if (visited.has(source.node)) continue;
    visited.add(source.node);
    for (const operand of source.node.inputs) if (operand) stack.push(operand);
  }
  return [...found];
}
