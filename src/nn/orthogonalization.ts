import { add, mul } from "../graph/broadcasting.ts";
import { matmul } from "../graph/matrix.ts";
import type { Tensor } from "../graph/tensor.ts";

// The quintic that Muon uses: it lifts every singular value into about [0.7, 1.2] in five rounds.
const [linearTerm, cubicTerm, quinticTerm] = [3.4445, -4.775, 2.0315];
const rounds = 5;

/**
 * Replaces the singular values of a matrix by values near 1, by a Newton–Schulz iteration: U·S·Vᵀ to about U·Vᵀ.
 *
 * @param x  [M, N], Frobenius norm at most 1
 */
export function orthogonalization(x: Tensor): Tensor {
  const tall = (x.shape[0] as number) > (x.shape[1] as number);
  let current = x;
  for (let i = 0; i < rounds; i++) {
    const gram = matmul(current, current, tall ? { transposeA: true } : { transposeB: true });
    const factor = add(mul(gram, cubicTerm), matmul(gram, gram, { scale: quinticTerm }));
    const product = tall ? matmul(current, factor) : matmul(factor, current);
    current = add(mul(current, linearTerm), product);
  }
  return current;
}
