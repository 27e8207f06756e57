import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { readPackageFile } from "../../io/packages.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { type ClassTexts, classTexts, findMeaning } from "./class-texts.ts";
import { packedPicture, parseRow, readJsonLines, readPackedPictures } from "./packed-pictures.ts";
import { decodeSquare } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";
import { parseWordNetNouns, type WordNetNouns, wordNetPackage } from "./wordnet.ts";

/**
 * Classes whose names alone fit several meanings, and the wrong one first: the offset in WordNet 3.1. A class id is the
 * offset in WordNet 3.0, so each was chosen by the definition there; "cannon" by its pictures, which show field guns.
 */
const ambiguousMeanings: Readonly<Record<string, string>> = {
  n02815834: "02818969", // beaker: the jar used in a laboratory
  n02950826: "02953692", // cannon: the large gun, usually on wheels
  n03126707: "03131358", // crane: the machine
  n04275548: "04282667", // spider web: the web, not its class of webs
  n04507155: "04514450", // umbrella: the canopy
  n07579787: "07595352", // plate: the main course
  n07749582: "07765558", // lemon: the fruit
};

const classSchema = z.array(z.object({ wnid: z.string(), names: z.array(z.string()).min(1) }));
const rowSchema = z.object({ file: z.string(), offset: z.number(), length: z.number(), wnid: z.string() });

/** The texts of every class by its id. */
export function tinyImageNetTexts(nouns: WordNetNouns, classes: z.infer<typeof classSchema>): Map<string, ClassTexts> {
  return new Map(
    classes.map(({ wnid, names }) => {
      const meaning = findMeaning(nouns, names, ambiguousMeanings[wnid]);
      return [wnid, classTexts(nouns, names, meaning)];
    }),
  );
}

async function* samples(split: "train" | "val", context: RecipeContext): AsyncGenerator<RecipeSample> {
  const folder = context.sourceFolder();
  const classesPath = join(folder, "classes.json");
  const classesText = await readUtf8(classesPath);
  const nouns = parseWordNetNouns(
    (await readPackageFile(context.fetched(wordNetPackage), "dict/data.noun")).toString("utf8"),
  );
  const texts = tinyImageNetTexts(nouns, parseRow(classesText, classSchema, classesPath));
  const rows = await readJsonLines(join(folder, `${split}.jsonl`), rowSchema);
  const packed = await readPackedPictures(folder, `${split}.jpegs.bin`);
  for (const row of rows) {
    const found = texts.get(row.wnid);
    if (found === undefined) throw new UserError("corrupt", `${row.file}: class ${row.wnid} is not in ${classesPath}.`);
    yield {
      key: row.file,
      ...found,
      label: found.texts[0],
      decode: (size) => decodeSquare(packedPicture(packed, row), size, "crop", row.file),
    };
  }
}

const shared = {
  licence: "ImageNet terms (non-commercial research and education); class words: WordNet licence",
  source: "Tiny ImageNet (Stanford CS231n, 200 classes of ImageNet), shrunk to 32×32",
  size: 32,
  fit: "square already",
  packages: [wordNetPackage],
  folder: "tiny-imagenet-32",
} as const;

/** Tiny ImageNet at 32 pixels: 100,000 photos; texts are the class's WordNet names and the words above it. */
export const tinyImageNetTrain: Recipe = {
  ...shared,
  name: "tiny-imagenet-32",
  summary: "100,000 photos of 200 classes, with the words above each class in WordNet",
  role: "training",
  samples: (context) => samples("train", context),
};

/** Tiny ImageNet's 10,000 validation photos. */
export const tinyImageNetVal: Recipe = {
  ...shared,
  name: "tiny-imagenet-32-val",
  summary: "10,000 photos of the same 200 classes",
  role: "evaluation",
  samples: (context) => samples("val", context),
};
