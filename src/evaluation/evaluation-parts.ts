import { UserError } from "../core/errors.ts";
import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import { splitByHash } from "../data/labelled/split-by-hash.ts";

/** The images of a set by what an evaluation uses them for; no two parts share any. */
export interface EvaluationParts {
  readonly train: readonly LabelledImage[];
  readonly val: readonly LabelledImage[];
  readonly test: readonly LabelledImage[];
  /** Where the test part comes from, for protocols. */
  readonly testOrigin: string;
  /** Where training and validation parts come from. */
  readonly trainOrigin: string;
}

/** The share of the training images that becomes a part that the set lacks. */
export const carvedShare = 0.2;
const carvingSeed = 0; // always the same division, so that scores of one set can be compared

/**
 * The set's own splits, and what is missing carved out of its training images by a hash of their keys: a test part
 * where there is neither test nor validation, then a validation part. A validation split without a test split is
 * the test part, as published sets without test labels are used.
 */
export function evaluationParts({ name, splits }: LabelledSet): EvaluationParts {
  const own = (split: "train" | "val" | "test") => splits.get(split);
  const test = own("test") ?? own("val");
  const val = own("test") ? own("val") : undefined;
  const train = own("train") ?? [];
  const shares = { ...(!test && { test: carvedShare }), ...(!val && train.length > 0 && { val: carvedShare }) };
  if (!test && train.length === 0)
    throw new UserError("empty", `${name}: must have images, got none. Name another set.`);
  const carved = Object.keys(shares).length > 0 ? splitByHash(train, shares, carvingSeed) : new Map([["train", train]]);
  return {
    train: carved.get("train") ?? [],
    val: val ?? carved.get("val") ?? [],
    test: test ?? carved.get("test") ?? [],
    testOrigin: own("test") ? "own" : own("val") ? "own val" : `${carvedShare} of train by hash`,
    trainOrigin: val ? "own train and val" : train.length > 0 ? `val ${carvedShare} of train by hash` : "none",
  };
}

/** What a protocol says of the images of a split. */
export function splitOrigin(parts: EvaluationParts, split: string): string {
  if (split === "test") return parts.testOrigin;
  return split === "train" || split === "val" ? parts.trainOrigin : "own";
}

/**
 * The images of a split as commands name it: a part, `all` of the set, or its `first:N` or `last:N` by key.
 *
 * @throws UserError (bad-argument) for another name; (empty) if the split has no image
 */
export function imagesOfSplit(set: LabelledSet, parts: EvaluationParts, split: string): readonly LabelledImage[] {
  const images = chooseImages(set, parts, split);
  if (images.length > 0) return images;
  throw new UserError("empty", `${set.name}: split "${split}" must have images, got none. Choose another --split.`);
}

function chooseImages(set: LabelledSet, parts: EvaluationParts, split: string): readonly LabelledImage[] {
  if (split === "train" || split === "val" || split === "test") return parts[split];
  const all = [...set.splits.values()].flat();
  if (split === "all") return all;
  const range = /^(first|last):([1-9]\d*)$/.exec(split);
  if (!range) {
    const rule = "must be train, val, test, all, first:N or last:N";
    throw new UserError("bad-argument", `Split: ${rule}, got "${split}". Correct --split.`);
  }
  const ordered = all.sort((a, b) => (a.key < b.key ? -1 : 1));
  const count = Number(range[2]);
  return range[1] === "first" ? ordered.slice(0, count) : ordered.slice(-count);
}
