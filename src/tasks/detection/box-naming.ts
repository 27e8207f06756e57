import { type Box, clipBox } from "../../core/boxes.ts";
import type { EncoderLevel } from "../../core/encoder-level.ts";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { classWiseNonMaxSuppression, nonMaxSuppression } from "../../core/non-max-suppression.ts";
import { placeBox } from "../../data/box-transforms/boxed-picture.ts";
import type { LetterboxedImage } from "../../data/box-transforms/letterboxed-image.ts";
import type { FoundBoxes } from "../../models/detection/decode-detections.ts";
import { cropAround } from "./box-crops.ts";
import type { BoxNamer, CropEmbedder, Detection, RegionEmbedder } from "./types.ts";

/** Which of what was found is told. */
export interface Selection {
  readonly scoreThreshold: number; // least final score
  readonly nmsThreshold: number; // IoU, among detections of one label
  readonly limit: number; // detections of a picture
}

/** Probabilities of all labels for one embedding, in label order; later ones stand for background. */
type Probabilities = (embedding: Float32Array) => ArrayLike<number>;

/** A picture whose boxes are named, and the level that the detector's encoder made of it, if that was kept. */
interface SeenPicture {
  readonly image: LetterboxedImage;
  readonly level?: EncoderLevel | undefined;
}

/** Embeddings of boxes of one picture in the space of a two-tower model; boxes in pixels of the original. */
type BoxEmbedding = (boxes: readonly Box[], seen: SeenPicture, signal?: AbortSignal) => Promise<Float32Array[]>;

export interface ProposalNaming extends Selection {
  readonly embedBoxes: BoxEmbedding;
  readonly labels: readonly string[];
  /** Of the labels, then of as many further texts as there are: a box that one of these fits best is dropped. */
  readonly probabilities: Probabilities;
  /** Boxes of a picture that are named, the most likely objects first. */
  readonly proposals: number;
  /** The exponent a of objectness^a · probability^(1 − a). */
  readonly objectnessWeight: number;
}

/**
 * Zero-shot detection as Florence does it: boxes of objects, whatever they are, each named by the image–text model from
 * its own pixels (arXiv:2111.11432 §3.6). The paper leaves crop, fusion and rejection open; here the score is a weighted
 * geometric mean of the box's and the label's, and what looks most like a background text is dropped.
 */
export function proposalNamer(naming: ProposalNaming): BoxNamer {
  const { embedBoxes, labels, probabilities, proposals, objectnessWeight } = naming;
  return async (found, image, signal) => {
    const chosen = nonMaxSuppression(found.boxes, found.scores, {
      iouThreshold: naming.nmsThreshold,
      limit: proposals,
    });
    const boxes = [...chosen].map((i) => boxAt(found.boxes, i));
    const embeddings = await embedBoxes(boxes, { image, level: found.level }, signal);
    const detections = [...chosen].flatMap((i, at): Detection[] => {
      const best = mostProbable(probabilities(embeddings[at] as Float32Array));
      if (best.index >= labels.length) return [];
      const objectness = found.scores[i] as number;
      const score = objectness ** objectnessWeight * best.value ** (1 - objectnessWeight);
      return [{ box: boxes[at] as Box, label: labels[best.index] as string, score }];
    });
    return select(detections, naming);
  };
}

const cropsAtOnce = 32;

/**
 * Each box by a picture of its own, of the original's pixels: sharp, and an encoder's run for every box.
 *
 * @param margin  around the box, in lengths of its longer side
 */
export function cropEmbeddings(embedder: CropEmbedder, margin: number): BoxEmbedding {
  return async (boxes, { image }, signal) => {
    const pixels = originalOf(image);
    const embeddings: Float32Array[] = [];
    for (let from = 0; from < boxes.length; from += cropsAtOnce) {
      const crops = boxes.slice(from, from + cropsAtOnce).map((box) => cropAround(pixels, box, margin));
      embeddings.push(...(await embedder.embedImages(crops, { signal })));
    }
    return embeddings;
  };
}

/**
 * All boxes by one run over the canvas that the detector saw: the encoder's last tokens under each are averaged. Where the
 * detector's own run has left those tokens, there is not even that run.
 *
 * @param margin  around the box, in lengths of its longer side
 */
export function regionEmbeddings(embedder: RegionEmbedder, margin: number): BoxEmbedding {
  return async (boxes, { image, level }, signal) => {
    if (boxes.length === 0) return [];
    const regions = new Float32Array(4 * boxes.length);
    for (const [i, box] of boxes.entries()) {
      const [x0, y0, x1, y1] = placeBox(box, image.placement);
      const around = margin * Math.max(x1 - x0, y1 - y0);
      const region = clipBox([x0 - around, y0 - around, x1 + around, y1 + around], image.width, image.height);
      regions.set(region, 4 * i);
    }
    return embedder.embedRegions(level ?? image, regions, { signal });
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
