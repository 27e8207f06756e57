import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { type Box, boxIou } from "../core/boxes.ts";
import { UserError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { Rng } from "../core/rng.ts";
import { letterboxImage } from "../data/box-transforms/letterboxed-image.ts";
import type { FoundBoxes } from "../models/detection/decode-detections.ts";
import { decodeScoredBoxes } from "../models/detection/decode-scored-boxes.ts";
import type { ExportedDetector } from "../models/exported-detector.ts";
import type { DetectorModel } from "./detector-model.ts";

/** In int8 what is found depends a little on the batch, whose range of values sets the steps. */
const required = { float32: { iou: 0.99, score: 1e-3 }, int8: { iou: 0.8, score: 0.05 } } as const;
const best = 20;
const nmsThreshold = 0.6;
/** Low, since pictures of noise hold no objects. */
const scoreThreshold = 1e-6;

/**
 * Runs an exported file on pictures of noise, alone and in a batch, with one label and several, and compares the best
 * boxes with those of the detector. An abort ends it after the run under way.
 *
 * @returns the lowest IoU of a box
 * @throws UserError `mismatch` if the detector's boxes are not among the file's
 */
export async function verifyDetectorExport(
  folder: string,
  { file, canvas, classes, precision }: ExportedDetector,
  detector: DetectorModel,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<number> {
  const { width, height } = canvas;
  const pictures = [1, 2, 3].map((seed) => noise(seed, width, height));
  const config = { side: width, padding: "square", stride: detector.preprocessing.stride } as const;
  const pixels = pictures.map((picture) => letterboxImage(picture, config).data);
  const session = await ort.InferenceSession.create(join(folder, file), { logSeverityLevel: 3 });
  let lowest = 1;
  try {
    for (const [rows, labels] of [[3, 1] as const, [1, 5] as const]) {
      signal?.throwIfAborted();
      const texts = classes.kind === "text" ? unitVectors(labels, classes.embedding) : undefined;
      const options = { texts, scoreThreshold, nmsThreshold, maxDetections: best, signal };
      const expected = await detector.detect(pictures.slice(0, rows), options);
      const feeds: Record<string, ort.Tensor> = {
        pixels: new ort.Tensor("uint8", Buffer.concat(pixels.slice(0, rows)), [rows, height, width, 3]),
      };
      if (texts && classes.kind === "text") feeds.texts = new ort.Tensor("float32", texts, [labels, classes.embedding]);
      const { boxes, scores } = await session.run(feeds);
      for (const [i, own] of expected.entries()) {
        const [boxesOfOne, scoresOfOne] = [boxes, scores].map((tensor) => rowOf(tensor?.data as Float32Array, i, rows));
        // Not suppressed: which of two boxes that are nearly as good stays, the last digits decide.
        const settings = { width, height, scoreThreshold, iouThreshold: 1, limit: Number.POSITIVE_INFINITY };
        const found = decodeScoredBoxes(boxesOfOne as Float32Array, scoresOfOne as Float32Array, settings);
        lowest = Math.min(lowest, compare(file, own, found, required[precision]));
      }
    }
  } finally {
    await session.release();
  }
  return lowest;
}

function compare(
  file: string,
  expected: FoundBoxes,
  found: FoundBoxes,
  { iou: leastIou, score: mostDifference }: { readonly iou: number; readonly score: number },
): number {
  let lowest = 1;
  for (const [i, score] of expected.scores.entries()) {
    const ious = [...found.scores].map((other, j) => {
      const isAlike = found.classes[j] === expected.classes[i] && Math.abs(other - score) <= mostDifference;
      return isAlike ? boxIou(boxAt(found, j), boxAt(expected, i)) : 0;
    });
    lowest = Math.min(lowest, Math.max(0, ...ious));
  }
  if (lowest >= leastIou) return lowest;
  const rule = `${file}: must find the detector's boxes (IoU ≥ ${leastIou}, scores within ${mostDifference})`;
  throw new UserError("mismatch", `${rule}, got an IoU of ${lowest}. Report it with the detector's name.`);
}

function boxAt({ boxes }: FoundBoxes, i: number): Box {
  return [boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]];
}

function rowOf(data: Float32Array, row: number, rows: number): Float32Array {
  return data.subarray((row * data.length) / rows, ((row + 1) * data.length) / rows);
}

function unitVectors(count: number, width: number): Float32Array {
  const rng = new Rng("labels");
  const rows = Array.from({ length: count }, () => Array.from({ length: width }, () => rng.normal()));
  return Float32Array.from(rows.flatMap((row) => row.map((value) => value / Math.hypot(...row))));
}

/** Blocks of colour in noise, as large as the canvas: nothing is resized, so that whatever pads pictures pads none. */
function noise(seed: number, width: number, height: number): RgbImage {
  const rng = new Rng(seed);
  const image = rgbImage(width, height);
  const colours = Array.from({ length: 64 }, () => [rng.int(256), rng.int(256), rng.int(256)]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const colour = colours[Math.floor((8 * y) / height) * 8 + Math.floor((8 * x) / width)] as number[];
      for (const [c, value] of colour.entries())
        image.data[3 * (y * width + x) + c] = Math.min(255, value + rng.int(24));
    }
  }
  return image;
}
