import { clipBox } from "../../core/boxes.ts";
import { ShapeError } from "../../core/errors.ts";
import { classWiseNonMaxSuppression, descendingOrder } from "../../core/non-max-suppression.ts";
import { type AnchorGrid, decodeBox } from "./anchors.ts";

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

interface Candidates {
  anchors: number[];
  classes: number[];
  scores: number[];
}

function decodeImage(raw: RawDetections, grid: AnchorGrid, classCount: number, options: DecodeOptions): FoundBoxes {
  const { width, height, candidatesPerLevel = 1000, iouThreshold = 0.6, limit = 100 } = options;
  const boxes: number[] = [];
  const classes: number[] = [];
  const scores: number[] = [];
  let first = 0;
  for (const level of grid.levels) {
    const end = first + level.height * level.width;
    const found = candidatesOf(raw, { first, end, classCount, threshold: options.scoreThreshold ?? 0.05 });
    for (const i of bestOf(found.scores, candidatesPerLevel)) {
      const anchor = found.anchors[i] as number;
      const box = clipBox(decodeBox(grid, anchor, raw.deltas, 4 * anchor), width, height);
      if (!(box[2] > box[0] && box[3] > box[1])) continue; // wholly outside
      boxes.push(...box);
      classes.push(found.classes[i] as number);
      scores.push(found.scores[i] as number);
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

function candidatesOf(raw: RawDetections, { first, end, classCount, threshold }: AnchorRange): Candidates {
  const found: Candidates = { anchors: [], classes: [], scores: [] };
  const smallestLogit = Math.log(threshold / (1 - threshold)); // spares an exponential for most
  for (let anchor = first; anchor < end; anchor++) {
    for (let k = 0; k < classCount; k++) {
      const logit = raw.logits[anchor * classCount + k];
      if (!(logit > smallestLogit)) continue;
      found.anchors.push(anchor);
      found.classes.push(k);
      found.scores.push(sigmoid(logit) * sigmoid(raw.centerness[anchor]));
    }
  }
  return found;
}

const bins = 4096;

/**
 * The indices of the `count` best, best first, equal ones as they stand. Of many labels nearly all candidates are of no
 * account, so only those that a histogram does not rule out are sorted.
 *
 * @param scores  in [0, 1]
 */
function bestOf(scores: readonly number[], count: number): number[] {
  const binOf = (score: number): number => Math.floor(score * (bins - 1));
  let likely = [...scores.keys()];
  if (scores.length > 4 * count) {
    const counts = new Uint32Array(bins);
    for (const score of scores) counts[binOf(score)]++;
    let lowest = bins - 1;
    for (let above = counts[lowest]; above < count && lowest > 0; above += counts[lowest]) lowest--;
    likely = likely.filter((i) => binOf(scores[i] as number) >= lowest);
  }
  const order = descendingOrder(likely.map((i) => scores[i] as number));
  return [...order.subarray(0, count)].map((i) => likely[i] as number);
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
