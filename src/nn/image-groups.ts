import { concat, split } from "../graph/shaping.ts";
import type { Tensor } from "../graph/tensor.ts";

/**
 * Largest working set of one group. An intermediate of a transformer branch should stay in the processor's cache
 * between the operator that writes it and the one that reads it.
 */
const groupBytes = 4 * 2 ** 20;

/**
 * Computes a branch for a few images at a time and joins the results. The values are those of one computation over
 * the batch; only the order of work differs: in training most of a branch's time goes to element-wise operators, which
 * are bound by memory, and a group's intermediates fit the cache where the batch's do not.
 *
 * @param x      [B, ...]
 * @param width  the widest intermediate that the branch makes of one token, in channels
 * @param branch builds the branch for [b, ...], b ≤ B
 */
export function inImageGroups(x: Tensor, width: number, branch: (images: Tensor) => Tensor): Tensor {
  const [batch, tokens] = x.shape;
  const perImage = tokens * width * 4;
  const images = divisorUpTo(batch, Math.max(1, Math.floor(groupBytes / perImage)));
  if (images === batch) return branch(x);
  const lengths = new Array<number>(batch / images).fill(images);
  return concat(split(x, 0, lengths).map(branch), 0);
}

/** The largest divisor of `value` that is at most `limit`. */
function divisorUpTo(value: number, limit: number): number {
  for (let divisor = Math.min(value, limit); divisor > 1; divisor--) if (value % divisor === 0) return divisor;
  return 1;
}
