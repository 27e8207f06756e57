import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { UserError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { encodeBatch } from "../data/tokenizers/tokenizer.ts";
import { preprocess } from "../data/transforms.ts";
import type { AnyExportedModel } from "../models/exported-model.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { FlorenceModel, ModelCallOptions } from "./florence-model.ts";

/** In int8 a picture's embedding depends a little on its batch, whose range of values sets the steps. */
const requiredCosines = { float32: 0.99999, int8: 0.98 } as const;
/** Cut off a picture's sides: half of it rounds up or down to another pixel. */
const oddMargin = 103;
/** Of several lengths, so that the open axes are put to use. */
const sentences = ["a cat", "two dogs play with a red ball on the grass in front of a house", "night"];

/**
 * Runs exported files on pictures of noise and some sentences, alone and in a batch, and compares with the model. An
 * abort ends it after the run under way.
 *
 * @returns the lowest cosine
 * @throws UserError `mismatch` if it is below 0.99999, in int8 0.98
 */
export async function verifyExport(
  folder: string,
  { image, text, precision }: AnyExportedModel,
  { tokenizer }: Checkpoint,
  model: FlorenceModel,
  { signal }: ModelCallOptions = {},
): Promise<number> {
  const requiredCosine = requiredCosines[precision];
  let lowest = 1;
  const compare = (file: string, actual: Float32Array, expected: Float32Array): void => {
    const cosine = actual.reduce((sum, value, i) => sum + value * expected[i], 0);
    if (!(cosine >= requiredCosine)) {
      const rule = `${file}: must give the model's embeddings (cosine ≥ ${requiredCosine})`;
      throw new UserError("mismatch", `${rule}, got ${cosine}. Report it with the model's name.`);
    }
    lowest = Math.min(lowest, cosine);
  };
  if (image) {
    const { size } = image;
    const pictures = [1, 2, 3].map((seed) => noise(seed, 2 * (size + oddMargin), 2 * size));
    const expected = await model.embedImages(pictures, { signal });
    const pixels = pictures.map((picture) => preprocess(picture, image)); // as a reader of the description will
    await withSession(join(folder, image.file), async (run) => {
      for (const rows of [pixels, pixels.slice(0, 1)]) {
        signal?.throwIfAborted();
        const dims = [rows.length, size, size, 3];
        const found = await run({ pixels: new ort.Tensor("uint8", Buffer.concat(rows), dims) });
        for (const [i, row] of rowsOf(found, rows.length).entries())
          compare(image.file, row, expected[i] as Float32Array);
      }
    });
  }
  if (text) {
    const expected = await model.embedTexts(sentences, { signal });
    await withSession(join(folder, text.file), async (run) => {
      for (const texts of [sentences, sentences.slice(0, 1)]) {
        signal?.throwIfAborted();
        const minimum = text.length === "context" ? tokenizer.contextLength : 0;
        const { ids, mask, length } = encodeBatch(tokenizer, texts, minimum);
        const dims = [texts.length, length];
        const found = await run({
          ids: new ort.Tensor("int32", ids, dims),
          mask: new ort.Tensor("float32", mask, dims),
        });
        for (const [i, row] of rowsOf(found, texts.length).entries())
          compare(text.file, row, expected[i] as Float32Array);
      }
    });
  }
  return lowest;
}

async function withSession(
  path: string,
  use: (run: (feeds: Record<string, ort.Tensor>) => Promise<Float32Array>) => Promise<void>,
): Promise<void> {
  const session = await ort.InferenceSession.create(path, { logSeverityLevel: 3 });
  try {
    await use(async (feeds) => (await session.run(feeds)).embedding?.data as Float32Array);
  } finally {
    await session.release();
  }
}

function rowsOf(matrix: Float32Array, rows: number): Float32Array[] {
  const width = matrix.length / rows;
  return Array.from({ length: rows }, (_, i) => matrix.subarray(i * width, (i + 1) * width));
}

/** A picture in which no two regions are alike. */
function noise(seed: number, width: number, height: number): RgbImage {
  const image = rgbImage(width, height);
  let state = seed;
  for (let i = 0; i < image.data.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    image.data[i] = ((state >>> 24) + (i * seed) / 50) % 256;
  }
  return image;
}
