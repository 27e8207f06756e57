import { ShapeError } from "../core/errors.ts";
import {
  formatShape,
  int64List,
  resolveAxis,
  type Shape,
  sameShape,
  scalar,
  singleOperator,
  sizeOf,
  Tensor,
} from "./tensor.ts";

// Broadcasting ties these six together: the gradient of a broadcast sum is a sum, and that of a sum is a broadcast.

/** NumPy's broadcasting: axes align from the back, and an axis of 1 stretches. */
export function broadcastShapes(name: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `${name}: axes must be equal or 1 (from the back), got ${formatShape(a)} and ${formatShape(b)}`,
      );
    }
    shape[i] = x === 1 ? y : x;
  }
  return shape;
}

export const toTensor = (value: Tensor | number): Tensor => (value instanceof Tensor ? value : scalar(value));

export function requireFloat(name: string, ...tensors: Tensor[]): void {
  for (const tensor of tensors) {
    if (tensor.dtype !== "float32") throw new ShapeError(`${name}: operands must be float32, got ${tensor.dtype}`);
  }
}

/** a + b, with broadcasting. */
export function add(a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  requireFloat("add", x, y);
  return singleOperator({
    type: "Add",
    inputs: [x, y],
    shape: broadcastShapes("add", x.shape, y.shape),
    gradient: ([g]) => (g ? [sumTo(g, x.shape), sumTo(g, y.shape)] : []),
  });
}

/** a · b, with broadcasting. */
export function mul(a: Tensor | number, b: Tensor | number): Tensor {
  const [x, y] = [toTensor(a), toTensor(b)];
  requireFloat("mul", x, y);
  return singleOperator({
    type: "Mul",
    inputs: [x, y],
    shape: broadcastShapes("mul", x.shape, y.shape),
    gradient: ([g]) => (g ? [sumTo(mul(g, y), x.shape), sumTo(mul(g, x), y.shape)] : []),
  });
}

/** The same values in the same order under another shape; one axis may be −1 and follows from the rest. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.filter((axis) => axis !== -1);
  const holes = shape.length - known.length;
  const inferred = x.size / sizeOf(known);
  const target = shape.map((axis) => (axis === -1 ? inferred : axis));
  if (holes > 1 || sizeOf(target) !== x.size || !Number.isInteger(inferred === Infinity ? 0.5 : inferred)) {
    throw new ShapeError(`reshape: sizes must agree, got ${formatShape(x)} and ${formatShape(shape)}`);
  }
  if (sameShape(x.shape, target)) return x;
  return singleOperator({
    type: "Reshape",
    inputs: [x, int64List(target)],
    attributes: { allowzero: 1 },
    shape: target,
    dtype: x.dtype,
    gradient: ([g]) => (g ? [reshape(g, x.shape)] : []),
  });
}

/** Stretches axes of 1 (and adds leading ones) to reach `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShapes("expand", x.shape, shape), shape)) {
    throw new ShapeError(`expand: ${formatShape(x)} does not stretch to ${formatShape(shape)}`);
  }
  return singleOperator({
    type: "Expand",
    inputs: [x, int64List(shape)],
    shape,
    dtype: x.dtype,
    gradient: ([g]) => (g ? [sumTo(g, x.shape)] : []),
  });
}

export type Axes = number | readonly number[];

export interface Reduction {
  axes: number[];
  kept: number[]; // the shape with reduced axes as 1
  shape: number[];
  count: number;
}

export function planReduction(name: string, x: Tensor, axes: Axes | undefined, keepAxes: boolean): Reduction {
  const list = axes === undefined ? x.shape.map((_, i) => i) : typeof axes === "number" ? [axes] : [...axes];
  const resolved = [...new Set(list.map((axis) => resolveAxis(axis, x.rank, name)))].sort((a, b) => a - b);
  const kept = x.shape.map((axis, i) => (resolved.includes(i) ? 1 : axis));
  const count = resolved.reduce((product, axis) => product * x.shape[axis], 1);
  return {
    axes: resolved,
    kept,
    shape: keepAxes ? kept : x.shape.filter((_, i) => !resolved.includes(i)),
    count,
  };
}

/** The sum over `axes` (all by default). */
export function sum(x: Tensor, axes?: Axes, keepAxes = false): Tensor {
  const plan = planReduction("sum", x, axes, keepAxes);
  return singleOperator({
    type: "ReduceSum",
    inputs: [x, int64List(plan.axes)],
    attributes: { keepdims: keepAxes ? 1 : 0, noop_with_empty_axes: 1 },
    shape: plan.shape,
    gradient: ([g]) => (g ? [expand(reshape(g, plan.kept), x.shape)] : []),
  });
}

/** Sums a gradient over the axes along which a tensor of `shape` had been broadcast. */
export function sumTo(gradient: Tensor, shape: Shape): Tensor {
  if (sameShape(gradient.shape, shape)) return gradient;
  const lead = gradient.rank - shape.length;
  const axes = gradient.shape
    .map((_, i) => i)
    .filter((i) => i < lead || (shape[i - lead] === 1 && gradient.shape[i] !== 1));
  return reshape(axes.length > 0 ? sum(gradient, axes, true) : gradient, shape);
}
