import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeImage } from "../../src/io/images.ts";
import type { FlorenceModel } from "../../src/zoo/florence-model.ts";

const samples = fileURLToPath(new URL("../../samples", import.meta.url));

interface Expected {
  images: { path: string; embedding: number[] }[]; // paths in samples/
  texts: { text: string; embedding: number[] }[];
  scale: number;
}

/** How a model's embeddings differ from those in `expected.json` of a folder, from picture bytes and strings on. */
export async function compareWithReference(model: FlorenceModel, folder: string) {
  const { images, texts, scale } = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as Expected;
  const pictures = await Promise.all(images.map(({ path }) => decodeImage(join(samples, path))));
  const found = [...(await model.embedImages(pictures)), ...(await model.embedTexts(texts.map(({ text }) => text)))];
  const names = [...images.map(({ path }) => path), ...texts.map(({ text }) => text)];
  const rows = [...images, ...texts].map(({ embedding }, row) => {
    const differences = embedding.map((value, i) => Math.abs(value - found[row][i]));
    const cosine = embedding.reduce((sum, value, i) => sum + value * found[row][i], 0);
    return { name: names[row], cosine: cosine / Math.hypot(...embedding), difference: Math.max(...differences) };
  });
  return {
    rows,
    lowestCosine: Math.min(...rows.map(({ cosine }) => cosine)),
    largestDifference: Math.max(...rows.map(({ difference }) => difference)),
    scaleError: Math.abs(model.logitScale / scale - 1),
  };
}
