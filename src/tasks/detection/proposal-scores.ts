import { hashText, Rng } from "../../core/rng.ts";
import type { DetectionImage } from "../../data/detection/detection-set.ts";
import { cocoAveragePrecision } from "../../metrics/detection/coco-average-precision.ts";
import type { DetectedBoxes, TruthBoxes } from "../../metrics/detection/detection-boxes.ts";

/** How well boxes find objects whatever they are: COCO's metrics with one class, each in [0, 1]. */
export interface ProposalScores {
  readonly ap: number;
  readonly ap50: number;
  readonly ar10: number; // recall of the ten best boxes of a picture, mean over IoU 0.50 … 0.95
  readonly ar100: number;
  readonly pictures: number;
  readonly objects: number;
}

/**
 * Class-agnostic scores of found boxes.
 *
 * @param images  the pictures with their objects
 * @param found   one entry a picture, in the same order; classes do not matter
 */
export function proposalScores(
  images: readonly DetectionImage[],
  found: readonly Pick<DetectedBoxes, "boxes" | "scores">[],
): ProposalScores {
  const truth = images.map(truthOf);
  const detected = found.map(({ boxes, scores }) => ({ boxes, scores, classes: new Int32Array(scores.length) }));
  const { ap, ap50, ar10, ar100, perClass } = cocoAveragePrecision(truth, detected, { classes: 1 });
  return { ap, ap50, ar10, ar100, pictures: images.length, objects: perClass[0].truths };
}

function truthOf({ boxes }: DetectionImage): TruthBoxes {
  return {
    boxes: boxes.flatMap(({ box }) => box),
    classes: new Int32Array(boxes.length),
    areas: boxes.map(({ area }) => area),
    crowd: boxes.map(({ crowd }) => Number(crowd)),
    ignored: boxes.map(({ difficult }) => Number(difficult)),
  };
}

/**
 * What chance finds: boxes of random places, sizes (log-uniform from 5 % of the side to all of it), shapes (up to 1 : 2) and
 * scores, the same for the same picture and seed.
 */
export function randomBoxes({ key, width, height }: DetectionImage, boxes: number, seed: number): DetectedBoxes {
  const rng = new Rng(`random-boxes:${seed}:${hashText(key)}`);
  const corners = Array.from({ length: boxes }, () => {
    const side = 0.05 * 20 ** rng.uniform();
    const shape = 2 ** rng.uniform(-0.5, 0.5);
    const [w, h] = [Math.min(1, side * shape) * width, Math.min(1, side / shape) * height];
    const [left, top] = [rng.uniform() * (width - w), rng.uniform() * (height - h)];
    return [left, top, left + w, top + h];
  });
  return {
    boxes: Float32Array.from(corners.flat()),
    classes: new Int32Array(boxes),
    scores: Float32Array.from(corners, () => rng.uniform()),
  };
}
