import { kShot } from "../data/labelled/k-shot.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { labelledImages } from "./class-weights.ts";
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

/** The images of an exposure: k of each class for training, drawn by seed, and min(k, 4) for validation; or all. */
export function trainingDraw(context: EvaluationContext, exposure: Exposure, seed: number | null): TrainingDraw {
  const { set, parts } = context;
  const [train, val] = [labelledImages(context, parts.train), parts.val];
  if (exposure === "full" || seed === null)
    return { train, val, notes: shortNotes(context, missingOf(set.classes, train)) };
  const drawn = kShot(train, exposure, seed, set.classes.length);
  const validation = kShot(val, Math.min(exposure, mostValidationShots), seed, set.classes.length);
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

/** The exposures and seeds that the options ask for; a full exposure draws nothing, so it has no seed. */
export function exposurePlan({ parts, options }: EvaluationContext): PlannedExposure[] {
  const { shots = ["full" as const], seeds = defaultSeeds } = options;
  return shots.flatMap((exposure): PlannedExposure[] => {
    const protocol = { shots: exposure, training: parts.trainOrigin };
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
