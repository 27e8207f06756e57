import { add, mul, sum } from "./broadcasting.ts";
import { exp, sub } from "./elementwise.ts";
import { resolveAxis, singleOperator, type Tensor } from "./tensor.ts";

/** eˣ / Σ eˣ along one axis. */
export function softmax(x: Tensor, axis = -1): Tensor {
  const at = resolveAxis(axis, x.rank, "softmax");
  const y: Tensor = singleOperator({
    type: "Softmax",
    inputs: [x],
    attributes: { axis: at },
    shape: x.shape,
    gradient: ([g]) => {
      if (!g) return [];
      const weighted = mul(g, y);
      return [sub(weighted, mul(y, sum(weighted, at, true)))];
    },
  });
  return y;
}

/** log softmax along one axis, without forming the softmax. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  const at = resolveAxis(axis, x.rank, "logSoftmax");
  const y: Tensor = singleOperator({
    type: "LogSoftmax",
    inputs: [x],
    attributes: { axis: at },
    shape: x.shape,
    gradient: ([g]) => (g ? [sub(g, mul(exp(y), sum(g, at, true)))] : []),
  });
  return y;
}

/** x / ‖x‖ along the last axis; `epsilon` is added to the squared norm. */
export function normalizeL2(x: Tensor, epsilon = 1e-12): Tensor {
  const inverseNorm = reciprocalSqrt(add(sum(mul(x, x), -1, true), epsilon));
  return mul(x, inverseNorm);
}

function reciprocalSqrt(x: Tensor): Tensor {
  const y: Tensor = singleOperator({
    type: "Reciprocal",
    inputs: [singleOperator({ type: "Sqrt", inputs: [x], shape: x.shape })],
    shape: x.shape,
  });
  return withGradient(x, y);
}

/** d x^(−½) = −½ y³ dx, said once instead of through both operators. */
function withGradient(x: Tensor, y: Tensor): Tensor {
  return singleOperator({
    type: "Identity",
    inputs: [y, x],
    shape: y.shape,
    gradient: ([g]) => (g ? [undefined, mul(g, mul(mul(mul(y, y), y), -0.5))] : []),
  });
}
