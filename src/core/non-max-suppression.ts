import { boxCount } from "./boxes.ts";
import { ShapeError } from "./errors.ts";

export interface SuppressionOptions {
  /** A box goes if it overlaps a better one by more than this IoU. */
  readonly iouThreshold: number;
  /** The most boxes that are kept; all if it is left out. */
  readonly limit?: number;
}

/**
 * Greedy non-maximum suppression, as torchvision's `nms` does it: from the highest score down, a box is kept unless a
 * kept one overlaps it by more than the threshold. Of equal scores the earlier box comes first.
 *
 * @param boxes  [N, 4] xyxy, flat
 * @returns      indices of the kept boxes, best first
 * @throws       ShapeError if the lengths do not agree
 */
export function nonMaxSuppression(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: SuppressionOptions,
): Uint32Array {
  return suppress(boxes, scores, undefined, options);
}

/** {@link nonMaxSuppression} among boxes of the same class only, in one common order. */
export function classWiseNonMaxSuppression(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: ArrayLike<number>,
  options: SuppressionOptions,
): Uint32Array {
  return suppress(boxes, scores, classes, options);
}

/** The order of falling scores, equal ones as they stand. */
export function descendingOrder(scores: ArrayLike<number>): Uint32Array {
  return Uint32Array.from({ length: scores.length }, (_, i) => i).sort((i, j) => scores[j] - scores[i] || i - j);
}

function suppress(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: ArrayLike<number> | undefined,
  { iouThreshold, limit = Number.POSITIVE_INFINITY }: SuppressionOptions,
): Uint32Array {
  const count = boxCount(boxes);
  if (scores.length !== count || (classes && classes.length !== count)) {
    const got = classes ? `${scores.length} scores and ${classes.length} classes` : `${scores.length} scores`;
    throw new ShapeError(`nonMaxSuppression: needs a score and a class a box, got ${got} for ${count} boxes`);
  }
  const kept: number[] = [];
  const keptOfClass = new Map<number, number[]>();
  for (const candidate of descendingOrder(scores)) {
    if (kept.length >= limit) break;
    const own = classes ? classes[candidate] : 0;
    let rivals = keptOfClass.get(own);
    if (!rivals) {
      rivals = [];
      keptOfClass.set(own, rivals);
    }
    if (rivals.some((rival) => overlap(boxes, rival, candidate) > iouThreshold)) continue;
    rivals.push(candidate);
    kept.push(candidate);
  }
  return Uint32Array.from(kept);
}

/** IoU of two boxes of one list. */
function overlap(boxes: ArrayLike<number>, i: number, j: number): number {
  const [a, b] = [4 * i, 4 * j];
  const width = Math.min(boxes[a + 2], boxes[b + 2]) - Math.max(boxes[a], boxes[b]);
  if (width <= 0) return 0;
  const height = Math.min(boxes[a + 3], boxes[b + 3]) - Math.max(boxes[a + 1], boxes[b + 1]);
  if (height <= 0) return 0;
  const shared = width * height;
  const area = (boxes[a + 2] - boxes[a]) * (boxes[a + 3] - boxes[a + 1]);
  const other = (boxes[b + 2] - boxes[b]) * (boxes[b + 3] - boxes[b + 1]);
  return shared / (area + other - shared);
}
