import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { LabelledSet, SplitName } from "../data/labelled/labelled-set.ts";
import type { TuningParts } from "../data/labelled/tuning-parts.ts";
import type { FailedFile } from "../io/file-walk.ts";
import { isHiddenInEncoder } from "../models/hidden-matrices.ts";
import { resizeWeights } from "../models/resize-weights.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { addAdapters } from "../nn/low-rank.ts";
import { initialWeights, namedParameters, type Weights } from "../nn/module.ts";
import type { HeadInput } from "../tasks/fine-tune/classifier-head.ts";
import { headPrefix } from "../tasks/fine-tune/head-program.ts";
import { layerDecayScales } from "../tasks/fine-tune/layer-depths.ts";
import type { FineTuneRecipe } from "../tasks/fine-tune/recipe.ts";
import { TowerRunner } from "../tasks/fine-tune/tower-runner.ts";
import type { Checkpoint } from "../zoo/checkpoint.ts";
import type { ModelConfig } from "../zoo/model-config.ts";
import { AdamW } from "./adamw.ts";
import { hashConfig } from "./checkpoint.ts";
import { startHead } from "./head-start.ts";
import { MetricsLog } from "./metrics-log.ts";
import { Muon } from "./muon.ts";
import type { TensorMap } from "./optimizer.ts";
import { type StepReport, train } from "./trainer.ts";
import { isCaptioned, openTuningData, type TuningData } from "./tuning-data.ts";
import { createContrastiveObjective, createHeadObjective } from "./tuning-objectives.ts";

export interface FineTuningOptions {
  readonly recipe: FineTuneRecipe;
  readonly checkpoint: Checkpoint; // the model to start from; its weights are not changed
  readonly fingerprint: string; // of that model
  readonly set: LabelledSet;
  /** How the set is divided, if not by `tuningParts`; decides a run as the set's fingerprint does. */
  readonly parts?: TuningParts;
  readonly runDir: string;
  /** Where decoded pictures are kept from run to run; in memory alone if left out. */
  readonly cacheFolder?: string;
  readonly checkpointMinutes: number;
  readonly signal?: AbortSignal;
  readonly onPictures?: (part: SplitName, done: number, total: number) => void;
  /** Told of every picture that does not decode; it is left out. */
  readonly onFailure?: (failure: FailedFile) => void;
  readonly onTexts?: (done: number, total: number) => void;
  readonly onAnchors?: (done: number, total: number) => void;
  readonly onStep?: (report: StepReport) => void;
  readonly onSkip?: (folder: string, reason: string) => void;
  /** Told of updates that were left out, as `train` tells. */
  readonly onWarning?: (message: string) => void;
}

/** A classifier head as trained: what it reads, and its `weight` and `bias`. */
export interface TunedHead {
  readonly input: HeadInput;
  readonly start: Weights;
  readonly tuned: Weights;
}

/** What a tuning made: the model before and after it, so that the two can be compared and mixed. */
export interface FineTunedModel {
  readonly architecture: TwoTowerConfig;
  readonly preprocessing: ModelConfig["preprocessing"];
  readonly start: Weights;
  /** Tensors that were not trained are the very arrays of `start`. For `lora`, those of `start` altogether. */
  readonly tuned: Weights;
  readonly head: TunedHead | undefined;
  /** What was trained beside the weights by `lora`, by name. */
  readonly adapters: Weights | undefined;
  readonly data: TuningData;
  readonly finished: boolean; // false if the run was stopped and can be resumed
  readonly steps: number;
  readonly wallSeconds: number;
}

/**
 * Tunes an image–text model on a labelled or captioned set: further contrastive training, a classifier head, or low-rank
 * adapters. A run that was stopped or killed goes on from its last checkpoint to the very weights it would have had.
 *
 * @throws UserError: bad-argument if method and set do not fit, mismatch if the folder holds another run
 */
export async function fineTune(options: FineTuningOptions): Promise<FineTunedModel> {
  const { recipe, checkpoint, set, runDir, fingerprint } = options;
  if (recipe.method === "head" && isCaptioned(set)) {
    throw new UserError(
      "bad-argument",
      `${set.name}: must have classes for a head, it has captions. Tune contrastively.`,
    );
  }
  await mkdir(runDir, { recursive: true });
  const { architecture, preprocessing } = sized(checkpoint, recipe);
  const model = new TwoTower(architecture);
  const start = resizeWeights(model, checkpoint.weights);
  const isLearnt = learntNames(recipe, model);
  const data = await openTuningData({
    set,
    preprocessing,
    seed: recipe.seed,
    parts: options.parts,
    keepUnlabelled: recipe.method === "head",
    cacheFolder: options.cacheFolder,
    signal: options.signal,
    onProgress: options.onPictures,
    onFailure: options.onFailure,
  });
  const head = recipe.method === "head" ? await startHead(options, { architecture, model, start, data }) : undefined;
  const weights = trainedCopies(model, start, isLearnt, recipe, head);
  const task = {
    recipe,
    set,
    store: data.train,
    model,
    embedding: architecture.embedding,
    imageSize: preprocessing.size,
    tokenizer: checkpoint.tokenizer,
    weights,
    isLearnt,
    anchors: recipe.anchor > 0 ? await anchorsOf(options, architecture, start, data) : undefined,
    onTexts: options.onTexts,
  };
  const objective = await (head ? createHeadObjective(task, head.input) : createContrastiveObjective(task));
  const totalSteps = stepsOf(recipe, data.train.count);
  const warmupSteps = Math.min(recipe.warmupSteps ?? Math.min(500, Math.ceil(totalSteps / 10)), totalSteps - 1);
  let log: MetricsLog | undefined;
  try {
    const summary = await train({
      objective,
      optimizer: await createOptimizer(recipe, objective.weights),
      runDir,
      totalSteps,
      schedule: {
        kind: "cosine",
        rate: recipe.learningRate,
        floor: recipe.finalLearningRate,
        warmupSteps,
        totalSteps,
      },
      seed: recipe.seed,
      configHash: hashConfig({
        ...{ recipe, model: fingerprint, data: set.fingerprint },
        // A run that was started on other pictures must not go on; runs on a set's own parts keep their hash.
        ...(data.division === "as evaluated" && { division: data.division }),
      }),
      checkpointMinutes: options.checkpointMinutes,
      ...(recipe.averageDecay === undefined ? {} : { averageDecay: recipe.averageDecay }),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onSkip ? { onSkip: options.onSkip } : {}),
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
      async onStart(step) {
        log = await MetricsLog.open(join(runDir, "metrics.jsonl"), step);
      },
      onStep(report) {
        const { step, loss, learningRate, gradientNorm, samplesPerSecond, outsideEngine } = report;
        const applied = Number(report.applied);
        log?.append({ step, loss, learningRate, gradientNorm, samplesPerSecond, outsideEngine, applied });
        options.onStep?.(report);
      },
    });
    const trained = new Map([...summary.weights].map(([name, tensor]) => [name, tensor.data]));
    const { finished, steps, wallSeconds } = summary;
    return { architecture, preprocessing, start, data, finished, steps, wallSeconds, ...results(start, trained, head) };
  } finally {
    log?.close();
    await objective.dispose();
  }
}

/** The model's architecture and preprocessing at the size and drop rate that the recipe asks for. */
function sized(
  { architecture, preprocessing }: Checkpoint,
  { imageSize = preprocessing.size, dropPath }: FineTuneRecipe,
): Pick<FineTunedModel, "architecture" | "preprocessing"> {
  const { image } = architecture;
  if (image.kind !== "coswin" && imageSize !== preprocessing.size) {
    const rule = `imageSize must be that of the model, ${preprocessing.size}, for an encoder of kind ${image.kind}`;
    throw new UserError("unsupported", `Tuning: ${rule}, got ${imageSize}.`);
  }
  if (image.kind !== "coswin") return { architecture, preprocessing };
  const scale = imageSize / preprocessing.size;
  const resizeTo = preprocessing.resizeTo === undefined ? {} : { resizeTo: Math.round(preprocessing.resizeTo * scale) };
  return {
    architecture: {
      ...architecture,
      image: { ...image, imageSize, ...(dropPath === undefined ? {} : { dropPath }) },
    },
    preprocessing: { ...preprocessing, size: imageSize, ...resizeTo },
  };
}

/** Which parameters of the towers are learnt; puts adapters into `model` where the method trains those alone. */
function learntNames(recipe: FineTuneRecipe, model: TwoTower): (name: string) => boolean {
  const { method, tuneImage, tuneText, lora } = recipe;
  if (method === "lora") {
    const layers = new RegExp(lora.layers, "u");
    const towers = { image: /^imageEncoder\./, text: /^textEncoder\./, both: /^(image|text)Encoder\./ };
    const adapted = addAdapters(model, lora, (name) => towers[lora.tower].test(name) && layers.test(name));
    if (adapted.length === 0) {
      const rule = `lora.layers must match a linear layer of the ${lora.tower} tower, got ${lora.layers}`;
      throw new UserError("bad-argument", `Tuning: ${rule}.`);
    }
    return (name) => name.includes(".adapter.");
  }
  return (name) =>
    (tuneImage && /^image(Encoder|Projection)\./.test(name)) ||
    (tuneText && /^text(Encoder|Projection)\./.test(name)) ||
    (method === "contrastive" && /^logit(Scale|Bias)$/.test(name));
}

/** Values of all parameters: frozen ones are the arrays of `start`, learnt ones copies that training may change. */
function trainedCopies(
  model: TwoTower,
  start: Weights,
  isLearnt: (name: string) => boolean,
  { seed }: FineTuneRecipe,
  head: Pick<TunedHead, "start"> | undefined,
): Weights {
  const fresh = initialWeights(model, seed); // of adapters, which have no values yet
  const weights: Weights = new Map();
  for (const name of namedParameters(model).keys()) {
    const values = start.get(name) ?? (fresh.get(name) as Float32Array);
    weights.set(name, isLearnt(name) ? values.slice() : values);
  }
  for (const [name, data] of head?.start ?? []) weights.set(headPrefix + name, data.slice());
  return weights;
}

/** Where the original model has the training pictures, as they are before augmentation. */
async function anchorsOf(
  { checkpoint, signal, onAnchors: onProgress }: FineTuningOptions,
  architecture: TwoTowerConfig,
  start: Weights,
  data: TuningData,
): Promise<Float32Array> {
  const runner = new TowerRunner(architecture, checkpoint.tokenizer);
  const { embeddings } = await runner.embedStore(start, data.train, { signal, onProgress });
  await runner.dispose();
  return embeddings;
}

/** Puts what was trained in its place: weights, head or adapters. */
function results(
  start: Weights,
  trained: ReadonlyMap<string, Float32Array>,
  head: { input: HeadInput; start: Weights } | undefined,
): Pick<FineTunedModel, "tuned" | "head" | "adapters"> {
  const tuned: Weights = new Map([...start].map(([name, data]) => [name, trained.get(name) ?? data]));
  const adapters = new Map([...trained].filter(([name]) => name.includes(".adapter.")));
  const ofHead = [...trained].filter(([name]) => name.startsWith(headPrefix));
  return {
    tuned,
    adapters: adapters.size > 0 ? adapters : undefined,
    head: head && { ...head, tuned: new Map(ofHead.map(([name, data]) => [name.slice(headPrefix.length), data])) },
  };
}

/** How many updates a recipe makes on so many pictures. */
export function stepsOf({ steps, epochs, batch }: FineTuneRecipe, pictures: number): number {
  return steps ?? Math.max(1, Math.ceil((epochs * pictures) / batch));
}

function createOptimizer(recipe: FineTuneRecipe, weights: TensorMap): AdamW | Promise<Muon> {
  const { optimizer, matrixRateScale, weightDecay, beta2, clipNorm } = recipe;
  const learningRateScale = rateScales(recipe, [...weights.keys()]);
  const adamw = { weightDecay, beta2, clipNorm, learningRateScale };
  if (optimizer === "adamw") return new AdamW(weights, adamw);
  return Muon.create(weights, {
    ...{ rateScale: matrixRateScale, weightDecay, learningRateScale, adamw },
    isHiddenMatrix: isHiddenInEncoder,
  });
}

function rateScales(recipe: FineTuneRecipe, names: readonly string[]): (name: string) => number {
  const depths = layerDecayScales(names, recipe.layerDecay);
  return (name) => (depths.get(name) ?? 1) * (name.startsWith(headPrefix) ? recipe.headRateScale : 1);
}
