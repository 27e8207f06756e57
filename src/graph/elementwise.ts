import { ShapeError } from "../core/errors.ts";
import { broadcastShapes, mul, requireFloat, sumTo, toTensor } from "./broadcasting.ts";
import { type DataType, singleOperator, type Tensor } from "./tensor.ts";

/** a − b, with broadcasting. */
export function sub(a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  requireFloat("sub", x, y);
  return singleOperator({
    type: "Sub",
    inputs: [x, y],
    shape: broadcastShapes("sub", x.shape, y.shape),
    gradient: ([g]) => (g ? [sumTo(g, x.shape), neg(sumTo(g, y.shape))] : []),
  });
}

/** a / b, with broadcasting. */
export function div(a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  requireFloat("div", x, y);
  const quotient: Tensor = singleOperator({
    type: "Div",
    inputs: [x, y],
    shape: broadcastShapes("div", x.shape, y.shape),
    gradient: ([g]) => {
      if (!g) return [];
      const scaled = div(g, y);
      return [sumTo(scaled, x.shape), neg(sumTo(mul(scaled, quotient), y.shape))];
    },
  });
  return quotient;
}

/** The larger of two, with broadcasting; where they are equal the gradient goes to `a`. */
export function maximum(a: Tensor | number, b: Tensor | number): Tensor {
  return chooseBetween("Max", "maximum", a, b, (x, y) => lessThan(x, y));
}

/** The smaller of two, with broadcasting; where they are equal the gradient goes to `a`. */
export function minimum(a: Tensor | number, b: Tensor | number): Tensor {
  return chooseBetween("Min", "minimum", a, b, (x, y) => lessThan(y, x));
}

function chooseBetween(
  type: string,
  name: string,
  a: Tensor | number,
  b: Tensor | number,
  secondWins: (x: Tensor, y: Tensor) => Tensor,
): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  requireFloat(name, x, y);
  return singleOperator({
    type,
    inputs: [x, y],
    shape: broadcastShapes(name, x.shape, y.shape),
    gradient: ([g]) => {
      if (!g) return [];
      const toSecond = mul(g, cast(secondWins(x, y), "float32"));
      return [sumTo(sub(g, toSecond), x.shape), sumTo(toSecond, y.shape)];
    },
  });
}

/** a < b as bool, with broadcasting; no gradient. */
export function lessThan(a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  return singleOperator({
    type: "Less",
    inputs: [x, y],
    shape: broadcastShapes("lessThan", x.shape, y.shape),
    dtype: "bool",
  });
}

/** a = b as bool, with broadcasting, for tensors of one type; no gradient. */
export function equal(a: Tensor, b: Tensor): Tensor {
  if (a.dtype !== b.dtype) throw new ShapeError(`equal: operands must be of one type, got ${a.dtype} and ${b.dtype}`);
  return singleOperator({
    type: "Equal",
    inputs: [a, b],
    shape: broadcastShapes("equal", a.shape, b.shape),
    dtype: "bool",
  });
}

/** `condition ? a : b` for each element, with broadcasting. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  if (condition.dtype !== "bool") throw new ShapeError(`where: the condition must be bool, got ${condition.dtype}`);
  const shape = broadcastShapes("where", condition.shape, broadcastShapes("where", x.shape, y.shape));
  return singleOperator({
    type: "Where",
    inputs: [condition, x, y],
    shape,
    gradient: ([g]) =>
      g ? [undefined, sumTo(where(condition, g, 0), x.shape), sumTo(where(condition, 0, g), y.shape)] : [],
  });
}

/** The same values in another type. No gradient flows: one of the two types is always discrete. */
export function cast(x: Tensor, dtype: DataType): Tensor {
  if (x.dtype === dtype) return x;
  const codes: Record<DataType, number> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };
  return singleOperator({
    type: "Cast",
    inputs: [x],
    attributes: { to: codes[dtype] },
    shape: x.shape,
    dtype,
    gradient: () => [],
  });
}

/** An operator on one float32 tensor, element by element; `derivative(x, y)` is dy/dx. */
function unary(type: string, x: Tensor, gradient: (g: Tensor, y: Tensor) => Tensor): Tensor {
  requireFloat(type, x);
  const y: Tensor = singleOperator({
    type,
    inputs: [x],
    shape: x.shape,
    gradient: ([g]) => (g ? [gradient(g, y)] : []),
  });
  return y;
}

/** −x */
export const neg = (x: Tensor): Tensor => unary("Neg", x, (g) => neg(g));

/** eˣ */
export const exp = (x: Tensor): Tensor => unary("Exp", x, (g, y) => mul(g, y));

/** Natural logarithm; x > 0. */
export const log = (x: Tensor): Tensor => unary("Log", x, (g) => div(g, x));

/** √x; x > 0 for a finite gradient. */
export const sqrt = (x: Tensor): Tensor => unary("Sqrt", x, (g, y) => div(mul(g, 0.5), y));

/** |x|, with gradient 0 at 0. */
export const abs = (x: Tensor): Tensor => unary("Abs", x, (g) => mul(g, sign(x)));

/** −1, 0 or 1; no gradient. */
export const sign = (x: Tensor): Tensor => singleOperator({ type: "Sign", inputs: [x], shape: x.shape });

/** x². */
export const square = (x: Tensor): Tensor => mul(x, x);

/** Hyperbolic tangent. */
export const tanh = (x: Tensor): Tensor => unary("Tanh", x, (g, y) => mul(g, sub(1, square(y))));

/** Gauss's error function. */
export const erf = (x: Tensor): Tensor =>
  unary("Erf", x, (g) => mul(mul(g, 2 / Math.sqrt(Math.PI)), exp(neg(square(x)))));

/** 1 / (1 + e⁻ˣ) */
export const sigmoid = (x: Tensor): Tensor => unary("Sigmoid", x, (g, y) => mul(g, mul(y, sub(1, y))));

/** max(x, 0), with gradient 0 at 0. */
export const relu = (x: Tensor): Tensor => unary("Relu", x, (g, y) => mul(g, sign(y)));

/** log(1 + eˣ) */
export const softplus = (x: Tensor): Tensor => unary("Softplus", x, (g) => mul(g, sigmoid(x)));

/** x held within [low, high]; the gradient is 0 where it is held. */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  if (!(low <= high)) throw new ShapeError(`clamp: low must not exceed high, got ${low} and ${high}`);
  return minimum(maximum(x, low), high);
}
