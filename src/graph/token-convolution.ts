import { ShapeError } from "../core/errors.ts";
import { reshape, sum } from "./broadcasting.ts";
import { gatherFixed } from "./indexing.ts";
import { linear, matmul } from "./matrix.ts";
import { transpose } from "./shaping.ts";
import { alias, formatShape, type Tensor } from "./tensor.ts";

/**
 * A convolution of stride 1 that keeps the map's size, of maps held as tokens: every token's neighbourhood is gathered,
 * and one matrix product does the rest, in both directions. Neighbourhoods are gathered again for the gradient, because
 * they are as many times larger than the map as the kernel has taps.
 *
 * @param x           [B, N, C]
 * @param weight      [K, C, kernel, kernel], kernel odd
 * @param bias        [K]
 * @param neighbours  [N · kernel²], the token under each tap of the kernel around each token; −1 for zero padding
 * @returns           [B, N, K]
 */
export function convolveTokens(x: Tensor, weight: Tensor, bias: Tensor, neighbours: Int32Array): Tensor {
  const [outputs, channels, kernel] = weight.shape;
  if (weight.rank !== 4 || weight.shape[3] !== kernel || kernel % 2 === 0) {
    throw new ShapeError(
      `convolveTokens: weight must be [K, C, kernel, kernel] with an odd kernel, got ${formatShape(weight)}`,
    );
  }
  if (x.rank !== 3 || x.shape[2] !== channels || neighbours.length !== x.shape[1] * kernel * kernel) {
    throw new ShapeError(
      `convolveTokens: x must be [B, N, ${channels}] with ${kernel * kernel} neighbours a token, got ${formatShape(x)} and ${neighbours.length} neighbours`,
    );
  }
  const area = kernel * kernel;
  const taps = transpose(reshape(weight, [outputs, channels, area]), [0, 2, 1]); // [K, kernel², C]
  const neighbourhoods = (map: Tensor): Tensor =>
    reshape(gatherFixed(map, neighbours), [...map.shape.slice(0, 2), area * map.shape[2]]);
  const y = linear(neighbourhoods(x), reshape(taps, [outputs, area * channels]), bias);
  const [convolved] = alias([y], [x, weight, bias], ([g]) => {
    if (!g) return [];
    // The adjoint of such a convolution is another one, with the kernel turned about and outputs for inputs.
    const turned = gatherFixed(
      transpose(taps, [2, 1, 0]),
      Int32Array.from({ length: area }, (_, i) => area - 1 - i),
    );
    const toX = linear(neighbourhoods(g), reshape(turned, [channels, area * outputs]));
    const rows = reshape(g, [-1, outputs]);
    const toTaps = matmul(rows, reshape(neighbourhoods(x), [-1, area * channels]), { transposeA: true });
    const toWeight = reshape(transpose(reshape(toTaps, [outputs, area, channels]), [0, 2, 1]), weight.shape);
    return [toX, toWeight, sum(rows, 0)];
  });
  return convolved as Tensor;
}
