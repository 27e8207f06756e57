import { UserError } from "../core/errors.ts";
import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import type { SetParts } from "../data/labelled/set-parts.ts";

// Tunings divide by the same function, so that they never train on what is scored.
export { carvedShare, setParts as evaluationParts } from "../data/labelled/set-parts.ts";

export type EvaluationParts = SetParts;

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
