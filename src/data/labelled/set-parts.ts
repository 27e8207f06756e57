import { UserError } from "../../core/errors.ts";
import type { LabelledImage, LabelledSet } from "./labelled-set.ts";
import { splitByHash } from "./split-by-hash.ts";

/** The images of a set by what they are used for; no two parts share any. */
export interface SetParts {
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
export function setParts({ name, splits }: Pick<LabelledSet, "name" | "splits">): SetParts {
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
