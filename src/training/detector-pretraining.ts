import { UserError } from "../core/errors.ts";
import type { DetectionImage, DetectionSet } from "../data/detection/detection-set.ts";
import { openDetectionSet } from "../data/detection/open-detection-set.ts";
import { DetectionPictures } from "../data/detection/picture-store.ts";
import { withFolder } from "../io/folder-lock.ts";
import type { FoundBoxes } from "../models/detection/decode-detections.ts";
import { classAgnostic } from "../models/detection/detector.ts";
import type { CoSwinConfig } from "../models/image-encoder/coswin.ts";
import { type DetectorWeights, detectorFromEncoder } from "../tasks/detection/detector-start.ts";
import { PictureDetector } from "../tasks/detection/picture-detector.ts";
import { type DetectorPretrainRecipe, trainingRecipeOf } from "../tasks/detection/pretrain-recipe.ts";
import { type ProposalScores, proposalScores, randomBoxes } from "../tasks/detection/proposal-scores.ts";
import type { TrainingSource } from "../tasks/detection/training-batches.ts";
import { type DetectionStepReport, trainDetector } from "./detection-training.ts";

export interface DetectorPretrainingOptions {
  readonly recipe: DetectorPretrainRecipe;
  /** The backbone: the image half of a two-tower model. */
  readonly encoder: {
    readonly fingerprint: string;
    readonly image: CoSwinConfig;
    readonly weights: ReadonlyMap<string, Float32Array>;
    readonly embedding: number; // axes of the model's embeddings
  };
  /** Where a set of the recipe lies; undefined if it is not there. */
  readonly folderOf: (name: string) => string | undefined;
  /** One vector of length 1 a class name, flat; asked for by recipes with names only. */
  readonly embedNames: (names: readonly string[]) => Promise<Float32Array>;
  readonly cacheFolder: string;
  readonly runDir: string;
  readonly checkpointMinutes: number;
  readonly signal?: AbortSignal;
  readonly onStep?: (report: DetectionStepReport) => void | Promise<void>;
  readonly onLoad?: (name: string, done: number, total: number) => void;
  readonly onSkip?: (folder: string, reason: string) => void;
  /** Told of updates that were left out, as `train` tells. */
  readonly onWarning?: (message: string) => void;
}

/** What a set gave to the training, for manifest and card. */
export interface UsedSet {
  readonly name: string;
  readonly split: string;
  readonly weight?: number;
  readonly licence?: string | undefined; // as the recipe states it
  readonly fingerprint: string;
  readonly pictures: number;
  readonly objects: number;
  readonly failed: number; // pictures that did not decode
  readonly problems: number; // of the annotations
  readonly about: Readonly<Record<string, unknown>>; // what the set says of itself, licences among it
}

/** Scores on a set that was not trained on, beside those of random boxes. */
export interface ValidationScore {
  readonly name: string;
  readonly split: string;
  readonly detector: ProposalScores;
  readonly random: ProposalScores;
}

export interface PretrainedDetector extends DetectorWeights {
  readonly finished: boolean; // false if the signal stopped it; the same call goes on
  readonly wallSeconds: number;
  readonly steps: number;
  /** Names of the classes that texts stood for; undefined for a class-agnostic one. */
  readonly names: readonly string[] | undefined;
  readonly sets: readonly UsedSet[];
  readonly validation: readonly ValidationScore[];
  readonly missing: readonly string[]; // validation sets that were not there
}

interface OpenedSource {
  readonly set: DetectionSet;
  readonly pictures: DetectionPictures;
  readonly used: UsedSet;
}

/**
 * Trains a detector on a pretrained image encoder by a recipe, resuming by itself, and scores its boxes as class-agnostic
 * proposals. The encoder stays frozen unless the recipe says otherwise, as Florence trains its zero-shot proposals
 * (arXiv:2111.11432 §3.6): a frozen one still speaks the two-tower model's language.
 *
 * @throws UserError: not-found for a missing training set, empty for one without pictures, busy if another process
 *   is at work in the folder
 */
export function pretrainDetector(options: DetectorPretrainingOptions): Promise<PretrainedDetector> {
  return withFolder(options.runDir, () => pretrainAlone(options));
}

async function pretrainAlone(options: DetectorPretrainingOptions): Promise<PretrainedDetector> {
  const { recipe, encoder, runDir } = options;
  const sources: OpenedSource[] = [];
  try {
    for (const source of recipe.sources) sources.push(await openSource(options, source));
    const names = recipe.classes === "names" ? [...new Set(sources.flatMap(({ set }) => set.classes))] : undefined;
    const texts = names ? await options.embedNames(names) : undefined;
    const { strides, width, blocks, groups, side, seed, window } = recipe;
    const start = detectorFromEncoder(
      encoder,
      {
        strides,
        width,
        blocks,
        groups,
        classes: names ? { kind: "text", embedding: encoder.embedding } : classAgnostic,
      },
      { imageSize: side, seed, ...(window ? { window } : {}) },
    );
    const sets = sources.map(({ used }) => used);
    const trained = await trainDetector({
      name: recipe.name,
      detector: start.detector,
      start: start.weights,
      recipe: trainingRecipeOf(recipe),
      sources: sources.map(({ set, pictures, used }): TrainingSource => {
        const classes = set.classes.map((name) => (names ? names.indexOf(name) : 0));
        return { pictures, classes, ...(used.weight === undefined ? {} : { weight: used.weight }) };
      }),
      ...(texts ? { texts } : {}),
      runDir,
      identity: { encoder: encoder.fingerprint, sets: sets.map(({ fingerprint }) => fingerprint), names },
      checkpointMinutes: options.checkpointMinutes,
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onStep ? { onStep: options.onStep } : {}),
      ...(options.onSkip ? { onSkip: options.onSkip } : {}),
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
    });
    const { weights, finished, wallSeconds, steps } = trained;
    const result = { detector: start.detector, weights, finished, wallSeconds, steps, names, sets };
    if (!finished) return { ...result, validation: [], missing: [] };
    const missing = recipe.validation.map(({ name }) => name).filter((name) => options.folderOf(name) === undefined);
    const validation: ValidationScore[] = [];
    for (const wanted of recipe.validation) {
      if (!missing.includes(wanted.name)) validation.push(await scoreOn(options, result, wanted, texts));
    }
    return { ...result, validation, missing };
  } finally {
    for (const { pictures } of sources) pictures.close();
  }
}

interface WantedSet {
  readonly name: string;
  readonly split: "train" | "val" | "test";
  readonly weight?: number;
  readonly licence?: string | undefined; // as the recipe states it
}

async function openSplit(
  { folderOf, signal }: DetectorPretrainingOptions,
  { name, split }: WantedSet,
): Promise<{ set: DetectionSet; images: readonly DetectionImage[] }> {
  const folder = folderOf(name);
  if (folder === undefined) {
    throw new UserError("not-found", `${name}: the recipe's set must be there, got no such folder. Pass --data.`);
  }
  const set = await openDetectionSet(folder, signal ? { signal } : {});
  const images = set.splits.get(split);
  if (images) return { set, images };
  throw new UserError("empty", `${folder}: must have pictures of the split ${split}, got none. Correct the recipe.`);
}

async function openSource(options: DetectorPretrainingOptions, wanted: WantedSet): Promise<OpenedSource> {
  const { recipe, cacheFolder, signal, onLoad } = options;
  const { set, images } = await openSplit(options, wanted);
  const pictures = await DetectionPictures.open({
    set,
    images,
    longestSide: Math.round(1.5 * recipe.side), // room for scale jitter
    cacheFolder,
    ...(signal ? { signal } : {}),
    onProgress: (done, total) => onLoad?.(wanted.name, done, total),
  });
  const used: UsedSet = {
    ...wanted,
    fingerprint: set.fingerprint,
    pictures: pictures.count,
    objects: pictures.images.reduce((sum, { boxes }) => sum + boxes.length, 0),
    failed: pictures.failures.length,
    problems: set.problems.length,
    about: set.about,
  };
  return { set, pictures, used };
}

const picturesAtOnce = 8;

async function scoreOn(
  options: DetectorPretrainingOptions,
  { detector, weights }: DetectorWeights,
  wanted: WantedSet,
  texts: Float32Array | undefined,
): Promise<ValidationScore> {
  const { recipe, signal, onLoad } = options;
  const { set, images } = await openSplit(options, wanted);
  const looking = new PictureDetector({
    detector,
    weights,
    side: recipe.side,
    ...(texts ? { texts } : {}),
    decode: { scoreThreshold: 0.001 },
  });
  const found: FoundBoxes[] = [];
  try {
    for (let from = 0; from < images.length; from += picturesAtOnce) {
      signal?.throwIfAborted();
      const group = await Promise.all(images.slice(from, from + picturesAtOnce).map((image) => set.decode(image)));
      found.push(...(await looking.detect(group)));
      onLoad?.(`scoring ${wanted.name}`, found.length, images.length);
    }
  } finally {
    await looking.dispose();
  }
  return {
    name: wanted.name,
    split: wanted.split,
    detector: proposalScores(images, found),
    random: proposalScores(
      images,
      images.map((image) => randomBoxes(image, 100, 0)),
    ),
  };
}
