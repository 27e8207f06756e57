import { ShapeError } from "../core/errors.ts";
import { broadcastShapes, reshape, sum, sumTo } from "./broadcasting.ts";
import { formatShape, singleOperator, type Tensor } from "./tensor.ts";

export interface MatmulOptions {
  transposeA?: boolean; // the last two axes of `a` change places first
  transposeB?: boolean;
  scale?: number; // multiplies the product, at no cost
}

/**
 * Matrix product over the last two axes; leading axes broadcast.
 *
 * @param a  [..., M, K], or [..., K, M] with `transposeA`
 * @param b  [..., K, N], or [..., N, K] with `transposeB`
 * @returns  [..., M, N]
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, scale = 1 } = options;
  if (a.rank < 2 || b.rank < 2) {
    throw new ShapeError(`matmul: operands must have two axes or more, got ${formatShape(a)} and ${formatShape(b)}`);
  }
  const [rows, innerA] = lastTwo(a, transposeA);
  const [innerB, columns] = lastTwo(b, transposeB);
  if (innerA !== innerB) {
    const flags = `${transposeA ? " (a transposed)" : ""}${transposeB ? " (b transposed)" : ""}`;
    throw new ShapeError(`matmul: inner axes must agree, got ${formatShape(a)} and ${formatShape(b)}${flags}`);
  }
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const transpose = { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0, alpha: { float: scale } };
  return singleOperator({
    ...(a.rank === 2 && b.rank === 2
      ? { type: "Gemm", inputs: [a, b], attributes: transpose }
      : { type: "FusedMatMul", domain: "com.microsoft" as const, inputs: [a, b], attributes: transpose }),
    shape: [...batch, rows, columns],
    gradient: ([g]) => {
      if (!g) return [];
      const toA = transposeA
        ? matmul(b, g, { transposeA: transposeB, transposeB: true, scale })
        : matmul(g, b, { transposeB: !transposeB, scale });
      const toB = transposeB
        ? matmul(g, a, { transposeA: true, transposeB: transposeA, scale })
        : matmul(a, g, { transposeA: !transposeA, scale });
      return [sumTo(toA, a.shape), sumTo(toB, b.shape)];
    },
  });
}

/**
 * An affine map of the last axis: x·Wᵀ + b, one `Gemm` in each direction.
 *
 * @param x       [..., in]
 * @param weight  [out, in]
 * @param bias    [out], or absent
 * @returns       [..., out]
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [outputs, inputs] = weight.shape;
  if (weight.rank !== 2 || x.rank < 1 || x.shape[x.rank - 1] !== inputs) {
    throw new ShapeError(
      `linear: x [..., in] must fit weight [out, in], got ${formatShape(x)} and ${formatShape(weight)}`,
    );
  }
  if (bias && (bias.rank !== 1 || bias.shape[0] !== outputs)) {
    throw new ShapeError(`linear: bias must be [${outputs}], got ${formatShape(bias)}`);
  }
  const rows = reshape(x, [-1, inputs]);
  const y = singleOperator({
    type: "Gemm",
    inputs: bias ? [rows, weight, bias] : [rows, weight],
    attributes: { transB: 1 },
    shape: [rows.shape[0], outputs],
    gradient: ([g]) =>
      g ? [matmul(g, weight), matmul(g, rows, { transposeA: true }), bias ? sum(g, 0) : undefined] : [],
  });
  return reshape(y, [...x.shape.slice(0, -1), outputs]);
}

function lastTwo(x: Tensor, swapped: boolean): readonly [number, number] {
  const [first, second] = [x.shape[x.rank - 2], x.shape[x.rank - 1]];
  return swapped ? [second, first] : [first, second];
}
