import { type Box, clipBox } from "../../core/boxes.ts";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { classWiseNonMaxSuppression, nonMaxSuppression } from "../../core/non-max-suppression.ts";
import type { LetterboxedImage } from "../../data/box-transforms/letterboxed-image.ts";
import type { FoundBoxes } from "../../models/detection/decode-detections.ts";
import { cropAround } from "./box-crops.ts";
import type { BoxNamer, CropEmbedder, Detection } from "./types.ts";

/** Which of what was found is told. */
export interface Selection {
  readonly scoreThreshold: number; // least final score
  readonly nmsThreshold: number; // IoU, among detections of one label
  readonly limit: number; // detections of a picture
}

/** Probabilities of all labels for one embedding, in label order; later ones stand for background. */
type Probabilities = (embedding: Float32Array) => ArrayLike<number>;

export interface CropNaming extends Selection {
  readonly embedder: CropEmbedder;
  readonly labels: readonly string[];
  /** Of the labels, then of as many further texts as there are: a box that one of these fits best is dropped. */
  readonly probabilities: Probabilities;
  /** In lengths of the box's longer side, on each side. */
  readonly margin: number;
  /** Boxes of a picture that are named, the most likely objects first. */
  readonly proposals: number;
  /** The exponent a of objectness^a · probability^(1 − a). */
  readonly objectnessWeight: number;
}

const cropsAtOnce = 32;

/**
 * Zero-shot detection as Florence does it: boxes of objects, whatever they are, each named by the image–text model from
 * its own crop (arXiv:2111.11432 §3.6). The paper leaves crop, fusion and rejection open; here the score is a weighted
 * geometric mean of the box's and the label's, and what looks most like a background text is dropped.
 */
export function cropNamer(naming: CropNaming): BoxNamer {
  const { embedder, labels, probabilities, margin, proposals, objectnessWeight } = naming;
  return async (found, image, signal) => {
    const pixels = originalOf(image);
    const chosen = nonMaxSuppression(found.boxes, found.scores, {
      iouThreshold: naming.nmsThreshold,
      limit: proposals,
    });
    const detections: Detection[] = [];
    for (let from = 0; from < chosen.length; from += cropsAtOnce) {
      const group = [...chosen.subarray(from, from + cropsAtOnce)];
      const crops = group.map((i) => cropAround(pixels, boxAt(found.boxes, i), margin));
      const embeddings = await embedder.embedImages(crops, { signal });
      for (const [at, i] of group.entries()) {
        const best = mostProbable(probabilities(embeddings[at] as Float32Array));
        if (best.index >= labels.length) continue;
        const objectness = found.scores[i] as number;
        const score = objectness ** objectnessWeight * best.value ** (1 - objectnessWeight);
        detections.push({ box: boxAt(found.boxes, i), label: labels[best.index] as string, score });
      }
    }
    return select(detections, naming);
  };
}

/** The detector's own classes: their names, or the labels whose embeddings it was given. */
export function headNamer(names: readonly string[], wanted: ReadonlySet<string>, selection: Selection): BoxNamer {
  return async (found) => {
    const detections = [...found.classes].flatMap((id, i): Detection[] => {
      const label = names[id] as string;
      if (!wanted.has(label)) return [];
      return [{ box: boxAt(found.boxes, i), label, score: found.scores[i] as number }];
    });
    return select(detections, selection);
  };
}

/** The detections that a selection keeps, best first. */
export function select(
  detections: readonly Detection[],
  { scoreThreshold, nmsThreshold, limit }: Selection,
): Detection[] {
  const likely = detections.filter(({ score }) => score >= scoreThreshold);
  const labels = [...new Set(likely.map(({ label }) => label))];
  const kept = classWiseNonMaxSuppression(
    likely.flatMap(({ box }) => [...box]),
    likely.map(({ score }) => score),
    likely.map(({ label }) => labels.indexOf(label)),
    { iouThreshold: nmsThreshold, limit },
  );
  return [...kept].map((i) => likely[i] as Detection);
}

/**
 * A picture's pixels, or a box of it, as an example of what is to be found.
 *
 * @throws UserError bad-argument for a box outside of the picture
 */
export function exampleCrop(image: RgbImage, box: Box | undefined, path: string): RgbImage {
  if (!box) return image;
  const [x0, y0, x1, y1] = clipBox(box, image.width, image.height);
  if (x1 > x0 && y1 > y0) return cropAround(image, box, 0);
  const rule = `${path}: an example's box must lie in the picture of ${image.width}×${image.height}`;
  throw new UserError("bad-argument", `${rule}, got ${box.join(", ")}. Correct it.`);
}

/** The picture itself, which was read with `keepsOriginal`. */
export function originalOf({ originalWidth, originalHeight, originalData }: LetterboxedImage): RgbImage {
  return rgbImage(originalWidth, originalHeight, originalData);
}

function boxAt(boxes: FoundBoxes["boxes"], i: number): Box {
  return [boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]];
}

/** Of equal ones the first. */
function mostProbable(values: ArrayLike<number>): { index: number; value: number } {
  let index = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[index]) index = i;
  return { index, value: Math.min(1, Math.max(0, values[index])) };
}
