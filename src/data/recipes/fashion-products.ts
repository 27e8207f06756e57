import { join } from "node:path";
import { z } from "zod";
import { packedPicture, readJsonLines, readPackedPictures } from "./packed-pictures.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

/** The last rows, which the data's own order has already mixed, are for evaluation. */
const testCount = 1000;

const rowSchema = z.object({
  file: z.string(),
  offset: z.number(),
  length: z.number(),
  caption: z.string(),
  label: z.string(),
  colour: z.string().nullish(),
});

async function* samples(split: "train" | "test", context: RecipeContext): AsyncGenerator<RecipeSample> {
  const folder = context.sourceFolder();
  const rows = await readJsonLines(join(folder, "metadata.jsonl"), rowSchema);
  const packed = await readPackedPictures(folder, "images.jpegs.bin");
  for (const row of split === "train" ? rows.slice(0, -testCount) : rows.slice(-testCount)) {
    yield {
      key: row.file,
      ...productTexts(row.caption, row.label, row.colour ?? ""),
      label: row.label,
      decode: (size) => decodeSquare(packedPicture(packed, row), size, "pad", row.file),
    };
  }
}

/** A product's name, its type, and its colour with its type: "navy blue casual shoes". */
export function productTexts(caption: string, type: string, colour: string): { texts: string[]; weights: number[] } {
  const named = caption.replaceAll(/\s+/g, " ").trim();
  const typeText = lowerCaseWords(type).replace("tshirts", "t-shirts");
  const colourText = /^(na|none|multi)?$/i.test(colour.trim()) ? "" : `${lowerCaseWords(colour)} ${typeText}`;
  const entries: [string, number][] = [
    [named, 0.5],
    [typeText, 0.3],
    [colourText, 0.2],
  ];
  const kept = entries.filter(([text]) => text !== "");
  const total = kept.reduce((sum, [, weight]) => sum + weight, 0);
  return { texts: kept.map(([text]) => text), weights: kept.map(([, weight]) => Number((weight / total).toFixed(4))) };
}

/** Lower case, but for words such as "USB" that are capitals throughout. */
function lowerCaseWords(text: string): string {
  const words = text.trim().split(/\s+/);
  return words.map((word) => (/^[A-Z]{2,}$/.test(word) ? word : word.toLowerCase())).join(" ");
}

const shared = {
  licence: "MIT according to the page of the data set; the photographs are a shop's",
  source: "Fashion Product Images (Small), Param Aggarwal",
  size: 48,
  fit: fitTitles.pad,
  packages: [],
  folder: "fashion-products",
} as const;

/** Product photos on white with name, type and colour; all but the last 1,000. */
export const fashionProductsTrain: Recipe = {
  ...shared,
  name: "fashion-products",
  summary: "8,583 product photos with name, type and colour",
  role: "training",
  samples: (context) => samples("train", context),
};

/** The last 1,000 products. */
export const fashionProductsTest: Recipe = {
  ...shared,
  name: "fashion-products-test",
  summary: "1,000 product photos of 75 types",
  role: "evaluation",
  samples: (context) => samples("test", context),
};
