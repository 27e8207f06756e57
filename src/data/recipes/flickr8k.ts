import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readJsonLines } from "./packed-pictures.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

/** The photos for training; the rest, by file name, are for the retrieval test. */
const trainingCount = 800;

const rowSchema = z.object({ file: z.string(), captions: z.array(z.string()).min(1) });

async function* samples(split: "train" | "test", context: RecipeContext): AsyncGenerator<RecipeSample> {
  const folder = context.sourceFolder();
  const rows = await readJsonLines(join(folder, "metadata.jsonl"), rowSchema);
  rows.sort((a, b) => (a.file < b.file ? -1 : 1));
  for (const row of split === "train" ? rows.slice(0, trainingCount) : rows.slice(trainingCount)) {
    yield {
      key: row.file,
      texts: row.captions.map(tidyCaption),
      decode: async (size) => decodeSquare(await readFile(join(folder, row.file)), size, "crop", row.file),
    };
  }
}

/** A caption without the space that the corpus puts before punctuation and without its last full stop. */
export function tidyCaption(caption: string): string {
  return caption
    .replaceAll(/\s+([.,;:!?])/g, "$1")
    .replaceAll(/\s+/g, " ")
    .trim()
    .replace(/\.$/, "");
}

const shared = {
  licence: "non-commercial research and education; the photographers keep their rights",
  source: "Flickr8k (Hodosh, Young and Hockenmaier 2013), 1,000 of its photographs with five captions each",
  size: 48,
  fit: fitTitles.crop,
  packages: [],
  folder: "flickr8k-1000",
} as const;

/** The first 800 photos by file name, each with its five captions. */
export const flickr8kTrain: Recipe = {
  ...shared,
  name: "flickr8k-train",
  summary: "800 photos with five captions each",
  role: "training",
  samples: (context) => samples("train", context),
};

/** The last 200 photos by file name. */
export const flickr8kTest: Recipe = {
  ...shared,
  name: "flickr8k-test",
  summary: "200 photos with five captions each",
  role: "evaluation",
  samples: (context) => samples("test", context),
};
