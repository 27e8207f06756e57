import { UserError } from "../core/errors.ts";
import { kShot } from "../data/labelled/k-shot.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { labelledImages } from "./class-weights.ts";
import { imagesOfSplit } from "./evaluation-parts.ts";
import type { EvaluationContext } from "./evaluation-task.ts";
import type { Exposure } from "./exposure-curves.ts";

/** What a model may learn from, and choose its settings on, at one exposure. */
export interface TrainingDraw {
  readonly train: readonly LabelledImage[];
  readonly val: readonly LabelledImage[];
  /** Classes that have fewer images than were asked for, in words; empty if there are none. */
  readonly notes: readonly string[];
}

/** The seeds of few-shot draws if none are asked for. ODinW's, as in GLIP, arXiv:2112.03857. */
export const defaultSeeds: readonly number[] = [3, 30, 300];

/** Validation images a class of a k-shot draw: as many as shots, 4 at most. Zhou et al., arXiv:2109.01134. */
export const mostValidationShots = 4;

/** The images that may be learnt from. */
export interface LearningParts {
  readonly train: readonly LabelledImage[];
  readonly val: readonly LabelledImage[];
  /** How many images each part lost to the scored ones. */
  readonly lost: { readonly train: number; readonly val: number };
}

/**
 * Training and validation parts without the images of a scored split: what is learnt from is never scored.
 *
 * @throws UserError (empty) if the split leaves nothing to train on
 */
export function learningParts({ set, parts }: Pick<EvaluationContext, "set" | "parts">, split: string): LearningParts {
  const { train, val } = parts;
  if (split === "test") return { train, val, lost: { train: 0, val: 0 } }; // the parts share no image
  const scored = new Set(imagesOfSplit(set, parts, split).map(({ key }) => key));
  const rest = (images: readonly LabelledImage[]) => images.filter(({ key }) => !scored.has(key));
  const left = { train: rest(train), val: rest(val) };
  if (left.train.length === 0 && train.length > 0) {
    const rule = `${set.name}: training pictures must be left beside the scored ones of split "${split}"`;
    throw new UserError("empty", `${rule}, got none. Choose another --split.`);
  }
  return { ...left, lost: { train: train.length - left.train.length, val: val.length - left.val.length } };
}

/**
 * The images of an exposure, none of them of the scored split: k of each class for training, drawn by seed, and
 * min(k, 4) for validation; or all. Few shots whose validation part is scored take other training images for it.
 */
export function trainingDraw(
  context: EvaluationContext,
  exposure: Exposure,
  seed: number | null,
  split: string,
): TrainingDraw {
  const { set } = context;
  const parts = learningParts(context, split);
  const [train, val] = [labelledImages(context, parts.train), parts.val];
  if (exposure === "full" || seed === null)
    return { train, val, notes: shortNotes(context, missingOf(set.classes, train)) };
  const drawn = kShot(train, exposure, seed, set.classes.length);
  const taken = new Set(drawn.images);
  const pool = parts.lost.val === 0 || val.length > 0 ? val : train.filter((image) => !taken.has(image));
  const validation = kShot(pool, Math.min(exposure, mostValidationShots), seed, set.classes.length);
  const notes = shortNotes(
    context,
    drawn.shortClasses.map(({ label, count }) => `${set.classes[label]} (${count})`),
  );
  return { train: drawn.images, val: validation.images, notes };
}

/** An exposure as it is planned. */
export interface PlannedExposure {
  readonly seed: number | null;
  readonly protocol: Readonly<Record<string, string | number>>;
}

export interface PlanOptions {
  readonly split: string; // that is scored
  /** Whether validation images change what is learnt; a protocol then says that scored ones were left out. */
  readonly learnsFromVal: boolean;
}

/** The exposures and seeds that the options ask for; a full exposure draws nothing, so it has no seed. */
export function exposurePlan(context: EvaluationContext, { split, learnsFromVal }: PlanOptions): PlannedExposure[] {
  const { parts, options } = context;
  const { shots = ["full" as const], seeds = defaultSeeds } = options;
  const { lost } = learningParts(context, split);
  const withoutScored = lost.train + (learnsFromVal ? lost.val : 0);
  return shots.flatMap((exposure): PlannedExposure[] => {
    const protocol = { shots: exposure, training: parts.trainOrigin, ...(withoutScored > 0 && { withoutScored }) };
    if (exposure === "full") return [{ seed: null, protocol }];
    const validationShots = Math.min(exposure, mostValidationShots);
    return seeds.map((seed) => ({ seed, protocol: { ...protocol, validationShots } }));
  });
}

function missingOf(classes: readonly string[], train: readonly LabelledImage[]): string[] {
  const seen = new Set(train.flatMap(({ labels }) => labels));
  return classes.filter((_, label) => !seen.has(label)).map((name) => `${name} (0)`);
}

const classesNamed = 5;

function shortNotes({ set }: EvaluationContext, short: readonly string[]): string[] {
  if (short.length === 0) return [];
  const rest = short.length > classesNamed ? " and others" : "";
  const named = short.slice(0, classesNamed).join(", ");
  return [
    `${short.length} of ${set.classes.length} classes have fewer training images than asked for: ${named}${rest}.`,
  ];
}
