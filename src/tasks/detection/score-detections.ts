import type { RgbImage } from "../../core/image.ts";
import { Rng } from "../../core/rng.ts";
import type { DetectionImage, DetectionSet } from "../../data/detection/detection-set.ts";
import { type FailedFile, failedFile } from "../../io/file-walk.ts";
import { type CocoResult, cocoAveragePrecision } from "../../metrics/detection/coco-average-precision.ts";
import type { TruthBoxes } from "../../metrics/detection/detection-boxes.ts";
import { type DetectionErrors, detectionErrors } from "../../metrics/detection/detection-errors.ts";
import type { FoundBoxes } from "../../models/detection/decode-detections.ts";

/** Anything that finds boxes in decoded pictures. */
export interface FindsBoxes {
  detect(pictures: readonly RgbImage[]): Promise<FoundBoxes[]>;
}

export interface DetectSetOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told of each picture that does not decode; it is left out. */
  readonly onFailure?: (failure: FailedFile) => void;
}

/** A picture of a set and what was found in it. */
export interface DetectedPicture {
  readonly image: DetectionImage;
  readonly found: FoundBoxes;
}

export const picturesAtOnce = 8;

/** Looks at pictures of a set, a few at a time; boxes are in pixels of the files. */
export async function detectSet(
  detector: FindsBoxes,
  set: Pick<DetectionSet, "decode">,
  images: readonly DetectionImage[],
  { signal, onProgress, onFailure }: DetectSetOptions = {},
): Promise<DetectedPicture[]> {
  const detected: DetectedPicture[] = [];
  for (let from = 0; from < images.length; from += picturesAtOnce) {
    signal?.throwIfAborted();
    const group = images.slice(from, from + picturesAtOnce);
    const decoded: { image: DetectionImage; pixels: RgbImage }[] = [];
    for (const image of group) {
      try {
        decoded.push({ image, pixels: await set.decode(image) });
      } catch (error) {
        onFailure?.(failedFile(image.path, error));
      }
    }
    const found = await detector.detect(decoded.map(({ pixels }) => pixels));
    for (const [i, { image }] of decoded.entries()) detected.push({ image, found: found[i] });
    onProgress?.(Math.min(images.length, from + picturesAtOnce), images.length);
  }
  return detected;
}

/** What is to be found in a picture, as the metrics take it. */
export function truthOf({ boxes }: DetectionImage): TruthBoxes {
  return {
    boxes: boxes.flatMap(({ box }) => [...box]),
    classes: boxes.map(({ class: own }) => own),
    areas: boxes.map(({ area }) => area),
    crowd: boxes.map(({ crowd }) => Number(crowd)),
    ignored: boxes.map(({ difficult }) => Number(difficult)),
  };
}

export interface DetectionScores {
  readonly coco: CocoResult;
  readonly errors: DetectionErrors;
}

/** COCO's metrics and what is wrong, over pictures. */
export function scoreDetections(pictures: readonly DetectedPicture[], classes: number): DetectionScores {
  const truth = pictures.map(({ image }) => truthOf(image));
  const found = pictures.map((picture) => picture.found);
  return {
    coco: cocoAveragePrecision(truth, found, { classes }),
    errors: detectionErrors(truth, found, { classes }),
  };
}

/** AP alone, of pictures drawn with repetition, for intervals. */
export function averagePrecisionOf(pictures: readonly DetectedPicture[], classes: number): number {
  const truth = pictures.map(({ image }) => truthOf(image));
  return cocoAveragePrecision(
    truth,
    pictures.map(({ found }) => found),
    { classes },
  ).ap;
}

/**
 * The 95 % interval of AP over draws of the pictures with repetition (percentile bootstrap), seeded.
 *
 * @returns  [0, 0] where no draw has anything to be found
 */
export function precisionInterval(
  pictures: readonly DetectedPicture[],
  classes: number,
  { rounds = 100, seed = 0 }: { readonly rounds?: number; readonly seed?: number } = {},
): readonly [number, number] {
  const rng = new Rng(`detection-interval:${seed}`);
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const drawn = pictures.map(() => rng.pick(pictures));
    const value = averagePrecisionOf(drawn, classes);
    if (!Number.isNaN(value)) values.push(value);
  }
  values.sort((a, b) => a - b);
  const at = (share: number): number => values[Math.round(share * (values.length - 1))] ?? 0;
  return [at(0.025), at(0.975)];
}

/** Boxes that know nothing: corners, class and score uniform at random, 100 a picture. The floor of every score. */
export function randomDetections(images: readonly DetectionImage[], classes: number, seed: number): DetectedPicture[] {
  const rng = new Rng(`random-boxes:${seed}`);
  const count = 100;
  return images.map((image) => {
    const own = rng.fork(image.key);
    const boxes = new Float32Array(4 * count);
    for (let i = 0; i < count; i++) {
      const [xa, xb] = [own.uniform(0, image.width), own.uniform(0, image.width)];
      const [ya, yb] = [own.uniform(0, image.height), own.uniform(0, image.height)];
      boxes.set([Math.min(xa, xb), Math.min(ya, yb), Math.max(xa, xb), Math.max(ya, yb)], 4 * i);
    }
    return {
      image,
      found: {
        boxes,
        classes: Int32Array.from({ length: count }, () => own.int(classes)),
        scores: Float32Array.from({ length: count }, () => own.uniform()).sort((a, b) => b - a),
      },
    };
  });
}
