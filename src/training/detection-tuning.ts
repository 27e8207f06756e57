import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { DetectionImage, DetectionSet } from "../data/detection/detection-set.ts";
import { DetectionPictures, pictureBoxes, type SetPictures } from "../data/detection/picture-store.ts";
import type { DetectionClasses } from "../models/detection/atss-head.ts";
import { Detector, type DetectorConfig, detectorPresets } from "../models/detection/detector.ts";
import type { DetectionRecipe } from "../tasks/detection/detection-recipe.ts";
import {
  type DetectorWeights,
  detectorFromEncoder,
  requireCoSwin,
  withClasses,
} from "../tasks/detection/detector-start.ts";
import type { Checkpoint } from "../zoo/checkpoint.ts";
import { detectorFingerprint, type ReadDetector } from "../zoo/detector-files.ts";
import { type DetectionStepReport, type TrainedDetector, trainDetector } from "./detection-training.ts";

/** Whether the map to the classes, as it is at the start, tells them apart already ("kept"), or has to learn that. */
export type ClassMapStart = "kept" | "new";

/** Where a tuning starts: another detector, or the image encoder of a two-tower model. */
export interface TuningStart {
  readonly name: string;
  readonly fingerprint: string;
  /** `frozen`: whether the encoder is still that model's, weight for weight. */
  readonly backbone: { readonly name: string; readonly fingerprint: string; readonly frozen: boolean };
  /** The side that the detector was made for; undefined from an encoder. */
  readonly side: number | undefined;
  readonly classMap: ClassMapStart;
  /** A detector for so many classes at a side of pictures; `shares` of the objects are of each class. */
  detectorFor(classes: number, side: number, seed: number, shares?: readonly number[]): DetectorWeights;
}

/** Starts from another detector, whose class map stays if it is of the very same classes. @throws UserError unsupported */
export function startFromDetector(stored: ReadDetector, classNames: readonly string[]): TuningStart {
  const { name, classes, architecture, weights, preprocessing, backbone } = stored;
  if (classes.kind === "text") {
    const rule = "must have fixed classes or find objects of any kind to be tuned";
    throw new UserError("unsupported", `${name}: ${rule}, got text classes. Start from another detector.`);
  }
  const isSame = classes.names.join("\n") === classNames.join("\n");
  const isAgnostic = classes.names.length === 1;
  const fingerprint = detectorFingerprint(stored);
  return {
    name,
    fingerprint,
    backbone: backbone ?? { name, fingerprint, frozen: false },
    side: preprocessing.side,
    classMap: isSame || (isAgnostic && classNames.length === 1) ? "kept" : "new",
    detectorFor(count, _side, seed, shares) {
      const start = { detector: new Detector(architecture), weights };
      const wanted: DetectionClasses = { kind: "fixed", count };
      if (isSame || isAgnostic || count !== classes.names.length) {
        return withClasses(start, wanted, seed, shares);
      }
      // As many classes, but others: what tells them apart must be learnt anew.
      return withClasses(withClasses(start, { kind: "fixed", count: count + 1 }, seed), wanted, seed);
    },
  };
}

/** The layout of detectors that are made on an encoder. */
export type DetectorLayout = Omit<DetectorConfig, "image" | "classes">;

/** Starts from the image encoder of a two-tower model; all else at random. @throws UserError (unsupported) */
export function startFromModel(
  { name, architecture, weights }: Checkpoint,
  fingerprint: string,
  { layout = detectorPresets.fine, window }: { readonly layout?: DetectorLayout; readonly window?: number } = {},
): TuningStart {
  const image = requireCoSwin(architecture.image, name);
  return {
    name,
    fingerprint,
    backbone: { name, fingerprint, frozen: true },
    side: undefined,
    classMap: "new",
    detectorFor: (count, side, seed) =>
      detectorFromEncoder(
        { image, weights },
        { ...layout, classes: { kind: "fixed", count } },
        { imageSize: side, seed, ...(window === undefined ? {} : { window }) },
      ),
  };
}

/** Pictures to train on, decoded and made small; room for scale jitter is left. */
export function openTrainingPictures(
  set: DetectionSet,
  images: readonly DetectionImage[],
  side: number,
  options: {
    readonly cacheFolder?: string;
    readonly signal?: AbortSignal;
    readonly onProgress?: (done: number, total: number) => void;
  } = {},
): Promise<DetectionPictures> {
  return DetectionPictures.open({ set, images, longestSide: Math.round(1.25 * side), ...options });
}

export interface DetectionTuningOptions {
  readonly name: string;
  readonly set: DetectionSet;
  readonly pictures: SetPictures; // of the set's training part, all or a subset
  readonly subset: string; // what decided the subset, such as "full" or "3 shots, seed 30"
  readonly start: TuningStart;
  readonly recipe: DetectionRecipe;
  readonly runDir: string;
  readonly checkpointMinutes: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onStep?: (report: DetectionStepReport) => void | Promise<void>;
  readonly onSkip?: (folder: string, reason: string) => void;
  /** Told of updates that were left out, as `train` tells. */
  readonly onWarning?: (message: string) => void;
}

export interface TunedDetector extends TrainedDetector {
  readonly detector: Detector;
}

/**
 * Trains a detector of a set's classes on its pictures, resuming by itself. The last weights are kept, or their moving
 * average if the recipe has one: nothing is chosen by a score.
 *
 * @throws UserError: as `trainDetector`
 */
export async function tuneDetector(options: DetectionTuningOptions): Promise<TunedDetector> {
  const { name, set, pictures, subset, start, recipe, runDir } = options;
  const shares = classShares(pictures.images, set.classes.length);
  const { detector, weights } = start.detectorFor(set.classes.length, recipe.side, recipe.seed, shares);
  const trained = await trainDetector({
    name,
    detector,
    start: weights,
    recipe,
    sources: [{ pictures }],
    runDir,
    identity: { start: start.fingerprint, data: set.fingerprint, subset },
    checkpointMinutes: options.checkpointMinutes,
    ...(options.threads ? { threads: options.threads } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.onStep ? { onStep: options.onStep } : {}),
    ...(options.onSkip ? { onSkip: options.onSkip } : {}),
    ...(options.onWarning ? { onWarning: options.onWarning } : {}),
  });
  return { ...trained, detector };
}

/** How often an object is of each class, with one more of each so that none is at 0. */
function classShares(images: readonly DetectionImage[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(1);
  for (const box of images.flatMap(pictureBoxes)) if (!box.ignored) counts[box.class]++;
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => count / total);
}

/** Where a tuning's finished detector is. */
export const tunedFolder = (runDir: string): string => join(runDir, "model");
