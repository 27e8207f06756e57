import { join } from "node:path";
import { z } from "zod";
import { packedPicture, readJsonLines, readPackedPictures } from "./packed-pictures.ts";
import { decodeSquare } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

const rowSchema = z.object({ file: z.string(), offset: z.number(), length: z.number(), label: z.string() });

async function* samples(split: "train" | "test", context: RecipeContext): AsyncGenerator<RecipeSample> {
  const folder = context.sourceFolder();
  const rows = await readJsonLines(join(folder, `${split}.jsonl`), rowSchema);
  const packed = await readPackedPictures(folder, `${split}.jpegs.bin`);
  for (const row of rows) {
    yield {
      key: row.file,
      texts: [row.label],
      label: row.label,
      decode: (size) => decodeSquare(packedPicture(packed, row), size, "crop", row.file),
    };
  }
}

const shared = {
  role: "evaluation",
  licence: "none stated; freely distributed for research",
  source: "CIFAR-10 (Krizhevsky 2009)",
  size: 32,
  fit: "square already",
  packages: [],
  folder: "cifar10",
} as const;

/** CIFAR-10's 50,000 training photos: for probes and fine-tuning, never for pretraining. */
export const cifar10Train: Recipe = {
  ...shared,
  name: "cifar10-train",
  summary: "50,000 photos of 10 classes, for probes only",
  samples: (context) => samples("train", context),
};

/** CIFAR-10's 10,000 test photos. */
export const cifar10Test: Recipe = {
  ...shared,
  name: "cifar10-test",
  summary: "10,000 photos of 10 classes",
  samples: (context) => samples("test", context),
};
