import { clipBox } from "../../core/boxes.ts";
import type { EncoderLevel } from "../../core/encoder-level.ts";
import { ShapeError } from "../../core/errors.ts";
import { classWiseNonMaxSuppression } from "../../core/non-max-suppression.ts";
import { type AnchorGrid, decodeBox } from "./anchors.ts";
import { TopCandidates } from "./top-candidates.ts";

/** A batch of `DetectionOutputs` as a program gives them. */
export interface RawDetections {
  readonly logits: Float32Array; // [B, A, K]
  readonly deltas: Float32Array; // [B, A, 4]
  readonly centerness: Float32Array; // [B, A]
}

export interface DecodeOptions {
  readonly width: number; // of the picture that the detector was shown, pixels; boxes are clipped to it
  readonly height: number;
  readonly scoreThreshold?: number; // of the class alone, before centerness; 0.05
  readonly candidatesPerLevel?: number; // best of each level ahead of suppression; 1,000
  readonly iouThreshold?: number; // of suppression among boxes of one class; 0.6
  readonly limit?: number; // boxes of one picture; 100
}

/** What was found in one picture, best first. */
export interface FoundBoxes {
  readonly boxes: Float32Array; // [D, 4] xyxy, pixels
  readonly classes: Int32Array; // [D]
  readonly scores: Float32Array; // [D] in (0, 1)
}

/** The same with the image encoder's last level, for whoever names the boxes by it. */
export interface FoundInPicture extends FoundBoxes {
  readonly level?: EncoderLevel;
}

/**
 * From a detector's outputs to boxes: σ(class) · σ(centerness), the best of each level, suppression by class. As in
 * Dynamic Head's ATSS; the first ATSS (arXiv:1912.02424) takes the root of that product, which ranks alike.
 *
 * @returns  one entry for each picture of the batch
 */
export function decodeDetections(
  raw: RawDetections,
  grid: AnchorGrid,
  classCount: number,
  options: DecodeOptions,
): FoundBoxes[] {
  const batch = raw.centerness.length / grid.count;
  if (!Number.isInteger(batch) || raw.logits.length !== batch * grid.count * classCount) {
    throw new ShapeError(
      `decodeDetections: outputs must be of ${grid.count} anchors and ${classCount} classes, got ${raw.centerness.length} and ${raw.logits.length} values`,
    );
  }
  const of = (data: Float32Array, b: number): Float32Array =>
    data.subarray((b * data.length) / batch, ((b + 1) * data.length) / batch);
  return Array.from({ length: batch }, (_, b) => {
    const image = { logits: of(raw.logits, b), deltas: of(raw.deltas, b), centerness: of(raw.centerness, b) };
    return decodeImage(image, grid, classCount, options);
  });
}

function decodeImage(raw: RawDetections, grid: AnchorGrid, classCount: number, options: DecodeOptions): FoundBoxes {
  const { width, height, candidatesPerLevel = 1000, iouThreshold = 0.6, limit = 100 } = options;
  const boxes: number[] = [];
  const classes: number[] = [];
  const scores: number[] = [];
  let first = 0;
  for (const level of grid.levels) {
    const end = first + level.height * level.width;
    const range = { first, end, classCount, threshold: options.scoreThreshold ?? 0.05 };
    const best = bestOfLevel(raw, range, candidatesPerLevel);
    for (const [i, at] of best.indices.entries()) {
      const anchor = first + Math.floor(at / classCount);
      const [x0, y0, x1, y1] = clipBox(decodeBox(grid, anchor, raw.deltas, 4 * anchor), width, height);
      if (!(x1 > x0 && y1 > y0)) continue; // wholly outside
      boxes.push(x0, y0, x1, y1);
      classes.push(at % classCount);
      scores.push(best.scores[i]);
    }
    first = end;
  }
  const kept = classWiseNonMaxSuppression(boxes, scores, classes, { iouThreshold, limit });
  return {
    boxes: Float32Array.from([...kept].flatMap((i) => boxes.slice(4 * i, 4 * i + 4))),
    classes: Int32Array.from(kept, (i) => classes[i] as number),
    scores: Float32Array.from(kept, (i) => scores[i] as number),
  };
}

interface AnchorRange {
  first: number;
  end: number;
  classCount: number;
  threshold: number;
}

/**
 * The most likely of a level's classes at its places, numbered from `first` on. Of 1,000 labels nearly all candidates are
 * of no account: what a logit must exceed to be among the best is known from those before it, so most cost a comparison.
 */
function bestOfLevel(
  { logits, centerness }: RawDetections,
  { first, end, classCount, threshold }: AnchorRange,
  count: number,
): ReturnType<TopCandidates["take"]> {
  const best = new TopCandidates(count);
  const smallestLogit = Math.log(threshold / (1 - threshold));
  for (let anchor = first; anchor < end; anchor++) {
    const centre = sigmoid(centerness[anchor]);
    let least = Math.max(smallestLogit, leastLogit(best.floor, centre));
    let floor = best.floor;
    for (let at = anchor * classCount, k = 0; k < classCount; k++, at++) {
      const logit = logits[at];
      if (!(logit > least)) continue;
      best.add((anchor - first) * classCount + k, sigmoid(logit) * centre);
      if (best.floor === floor) continue;
      floor = best.floor;
      least = Math.max(smallestLogit, leastLogit(floor, centre));
    }
  }
  return best.take();
}

/** A logit that no product σ(logit)·centre above `floor` lies under; a little low, since both sides are rounded. */
function leastLogit(floor: number, centre: number): number {
  if (!(floor > 0)) return Number.NEGATIVE_INFINITY;
  const share = (floor / centre) * (1 - 1e-9);
  return share < 1 ? Math.log(share / (1 - share)) : Number.POSITIVE_INFINITY;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
