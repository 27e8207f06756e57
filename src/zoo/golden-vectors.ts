import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import { fileError } from "../io/file-errors.ts";
import type { FlorenceModel, ModelCallOptions } from "./florence-model.ts";

const vector = z.array(z.number()).min(2);
const goldenSchema = z.object({
  format: z.literal("florence-golden/1"),
  images: z.array(z.object({ path: z.string(), embedding: vector })),
  texts: z.array(z.object({ text: z.string(), embedding: vector })),
});

/** The first numbers of embeddings that a model gave when it was published; image paths are relative to the file. */
export type GoldenVectors = z.infer<typeof goldenSchema>;

/** How closely this machine's embeddings agree with the published ones. */
export interface GoldenComparison {
  readonly compared: number;
  /** The smallest cosine similarity met, and whose it is. */
  readonly lowestCosine: number;
  readonly lowestOf: string;
}

/** The file of golden vectors in a checkpoint folder. */
export const goldenFileName = "golden.json";

const keptNumbers = 16;

/** Reads `golden.json`; throws UserError when it is missing or not what it should be. */
export async function readGoldenVectors(folder: string): Promise<GoldenVectors> {
  const path = join(folder, goldenFileName);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw fileError(path, error);
  }
  try {
    return goldenSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new UserError("corrupt", `${path}: must hold golden vectors, got something else. Restore the file.`, {
      cause: error,
    });
  }
}

/** The golden vectors of a model for some pictures and sentences. */
export async function makeGoldenVectors(
  model: FlorenceModel,
  imagePaths: readonly string[],
  texts: readonly string[],
  decode: (path: string) => Promise<RgbImage>,
): Promise<GoldenVectors> {
  const images = await Promise.all(imagePaths.map((path) => decode(path)));
  const imageEmbeddings = await model.embedImages(images);
  const textEmbeddings = await model.embedTexts(texts);
  const first = (embedding: Float32Array) => Array.from(embedding.subarray(0, keptNumbers));
  return {
    format: "florence-golden/1",
    images: imagePaths.map((path, i) => ({ path, embedding: first(imageEmbeddings[i]) })),
    texts: texts.map((text, i) => ({ text, embedding: first(textEmbeddings[i]) })),
  };
}

/** Embeds the golden pictures and sentences again and compares. `decode` is given paths inside `folder`. */
export async function compareGoldenVectors(
  model: FlorenceModel,
  golden: GoldenVectors,
  folder: string,
  decode: (path: string) => Promise<RgbImage>,
  options: ModelCallOptions = {},
): Promise<GoldenComparison> {
  const images = await Promise.all(golden.images.map(({ path }) => decode(join(folder, path))));
  const fresh = [
    ...(await model.embedImages(images, options)),
    ...(await model.embedTexts(
      golden.texts.map(({ text }) => text),
      options,
    )),
  ];
  const published = [
    ...golden.images.map(({ path, embedding }) => ({ name: path, embedding })),
    ...golden.texts.map(({ text, embedding }) => ({ name: JSON.stringify(text), embedding })),
  ];
  let lowestCosine = Number.POSITIVE_INFINITY;
  let lowestOf = "";
  published.forEach(({ name, embedding }, i) => {
    const value = cosine(embedding, fresh[i].subarray(0, embedding.length));
    const closeness = Number.isNaN(value) ? -1 : value; // a vector of NaN or zeros agrees with nothing
    if (closeness < lowestCosine) {
      lowestCosine = closeness;
      lowestOf = name;
    }
  });
  return { compared: published.length, lowestCosine, lowestOf };
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let product = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i < a.length; i++) {
    product += a[i] * b[i];
    squaresA += a[i] * a[i];
    squaresB += b[i] * b[i];
  }
  return product / Math.sqrt(squaresA * squaresB);
}
