import type { LabelledImage, LabelledSet } from "./labelled-set.ts";
import { carvedShare, setParts } from "./set-parts.ts";
import { splitByHash } from "./split-by-hash.ts";

/**
 * How a tuning divides a set: `own`, by its splits; `held out`, a tenth of the training images, drawn by the tuning's
 * seed, being the validation part; `as evaluated`, by the parts that evaluations score.
 */
export type TuningDivision = "own" | "held out" | "as evaluated";

/** The images of a set by what a tuning uses them for. */
export interface TuningParts {
  readonly train: readonly LabelledImage[];
  readonly val: readonly LabelledImage[];
  readonly test: readonly LabelledImage[]; // empty if nothing is left to measure on
  readonly division: TuningDivision;
  /** Share of the training images that became the validation part, 0 if the set has its own. */
  readonly heldOut: number;
}

const heldOutShare = 0.1;

/**
 * Divides a set for a tuning. Without a test part of its own the set is divided as evaluations divide it, so that no
 * image is trained on, or chooses, that a later evaluation scores. With one, only a validation part can be missing.
 */
export function tuningParts(set: Pick<LabelledSet, "name" | "splits">, seed: number): TuningParts {
  if (!set.splits.has("test") && set.splits.has("train")) {
    return { ...setParts(set), division: "as evaluated", heldOut: carvedShare };
  }
  return tuningPartsBySplits(set, seed);
}

/** The division of tunings that knew nothing of a carved test part: the splits as they are, with a validation part. */
export function tuningPartsBySplits({ splits }: Pick<LabelledSet, "splits">, seed: number): TuningParts {
  const given = splits.get("train") ?? [];
  const own = splits.get("val");
  const test = splits.get("test") ?? [];
  if (own) return { train: given, val: own, test, division: "own", heldOut: 0 };
  const divided = splitByHash(given, { val: heldOutShare }, `tuning ${seed}`);
  const [train, val] = [divided.get("train") ?? [], divided.get("val") ?? []];
  return { train, val, test, division: "held out", heldOut: heldOutShare };
}
