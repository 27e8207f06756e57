import { clipBox } from "../../core/boxes.ts";
import { ShapeError } from "../../core/errors.ts";
import { classWiseNonMaxSuppression } from "../../core/non-max-suppression.ts";
import type { FoundBoxes } from "./decode-detections.ts";
import { TopCandidates } from "./top-candidates.ts";

export interface ScoredBoxesOptions {
  readonly width: number; // of the canvas that was looked at, pixels; boxes are clipped to it
  readonly height: number;
  readonly scoreThreshold: number; // of class times centerness
  readonly iouThreshold: number; // of suppression among boxes of one class
  readonly limit: number; // boxes of a picture
  readonly candidates?: number; // best ahead of suppression; 3,000
}

/**
 * From one picture's `boxes` and `scores`, as an exported detector gives them, to what was found in it.
 *
 * @param boxes   [A, 4] xyxy, pixels
 * @param scores  [A, K]
 */
export function decodeScoredBoxes(boxes: Float32Array, scores: Float32Array, options: ScoredBoxesOptions): FoundBoxes {
  const { width, height, scoreThreshold, iouThreshold, limit, candidates = 3000 } = options;
  const anchors = boxes.length / 4;
  const classCount = scores.length / anchors;
  if (!Number.isInteger(anchors) || !Number.isInteger(classCount)) {
    throw new ShapeError(`decodeScoredBoxes: needs [A, 4] and [A, K], got ${boxes.length} and ${scores.length} values`);
  }
  const top = new TopCandidates(candidates, scoreThreshold);
  for (let i = 0; i < scores.length; i++) if (scores[i] > top.floor) top.add(i, scores[i]);
  const best = [...top.take().indices];
  const clipped = best.map((i) => {
    const at = 4 * Math.floor(i / classCount);
    return clipBox([boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]], width, height);
  });
  const seen = [...clipped.keys()].filter((i) => {
    const [x0, y0, x1, y1] = clipped[i] as (typeof clipped)[number];
    return x1 > x0 && y1 > y0; // not wholly outside
  });
  const flat = seen.flatMap((i) => [...(clipped[i] as (typeof clipped)[number])]);
  const values = seen.map((i) => scores[best[i] as number]);
  const classes = seen.map((i) => (best[i] as number) % classCount);
  const kept = classWiseNonMaxSuppression(flat, values, classes, { iouThreshold, limit });
  return {
    boxes: Float32Array.from([...kept].flatMap((i) => flat.slice(4 * i, 4 * i + 4))),
    classes: Int32Array.from(kept, (i) => classes[i] as number),
    scores: Float32Array.from(kept, (i) => values[i] as number),
  };
}
