import { ShapeError } from "../core/errors.ts";
import { type Axes, expand, mul, planReduction, reshape, sum } from "./broadcasting.ts";
import { cast, div, equal, exp } from "./elementwise.ts";
import { formatShape, int64List, type Shape, singleOperator, type Tensor } from "./tensor.ts";

/** The arithmetic mean over `axes` (all by default). */
export function mean(x: Tensor, axes?: Axes, keepAxes = false): Tensor {
  const plan = planReduction("mean", x, axes, keepAxes);
  if (plan.count === 0) throw new ShapeError(`mean: there must be something to average, got ${formatShape(x)}`);
  return singleOperator({
    type: "ReduceMean",
    inputs: [x, int64List(plan.axes)],
    attributes: { keepdims: keepAxes ? 1 : 0, noop_with_empty_axes: 1 },
    shape: plan.shape,
    gradient: ([g]) => (g ? [expand(reshape(mul(g, 1 / plan.count), plan.kept), x.shape)] : []),
  });
}

/** The largest value over `axes` (all by default); equal largest values share the gradient evenly. */
export function max(x: Tensor, axes?: Axes, keepAxes = false): Tensor {
  const plan = planReduction("max", x, axes, keepAxes);
  const result: Tensor = singleOperator({
    type: "ReduceMax",
    inputs: [x, int64List(plan.axes)],
    attributes: { keepdims: keepAxes ? 1 : 0, noop_with_empty_axes: 1 },
    shape: plan.shape,
    gradient: ([g]) => {
      if (!g) return [];
      const winners = cast(equal(x, expand(reshape(result, plan.kept), x.shape)), "float32");
      return [mul(winners, div(reshape(g, plan.kept), sum(winners, plan.axes, true)))];
    },
  });
  return result;
}

/** log Σ exp over `axes`, without overflow. */
export function logSumExp(x: Tensor, axes?: Axes, keepAxes = false): Tensor {
  const plan = planReduction("logSumExp", x, axes, keepAxes);
  const result: Tensor = singleOperator({
    type: "ReduceLogSumExp",
    inputs: [x, int64List(plan.axes)],
    attributes: { keepdims: keepAxes ? 1 : 0, noop_with_empty_axes: 1 },
    shape: plan.shape,
    gradient: ([g]) => {
      if (!g) return [];
      const weights = exp(subtractKept(x, result, plan.kept));
      return [mul(weights, reshape(g, plan.kept))];
    },
  });
  return result;
}

function subtractKept(x: Tensor, reduced: Tensor, kept: Shape): Tensor {
  return singleOperator({ type: "Sub", inputs: [x, reshape(reduced, kept)], shape: x.shape });
}
