import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { ShardReader } from "../data/shards.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { withFolder } from "../io/folder-lock.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { isHiddenInEncoder } from "../models/hidden-matrices.ts";
import { resizeWeights } from "../models/resize-weights.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { initialWeights, namedParameters, type Weights } from "../nn/module.ts";
import { ContrastiveBatches, checkStageData } from "../tasks/pretrain/contrastive-batches.ts";
import { ContrastiveObjective } from "../tasks/pretrain/contrastive-objective.ts";
import type { PretrainRecipe, PretrainStage } from "../tasks/pretrain/recipe.ts";
import type { TokenizerSource } from "../zoo/tokenizer-files.ts";
import { AdamW } from "./adamw.ts";
import { readLatestCheckpoint } from "./checkpoint.ts";
import { MetricsLog } from "./metrics-log.ts";
import { Muon } from "./muon.ts";
import type { Optimizer, TensorMap } from "./optimizer.ts";
import { openShards, textPrefix, textSource } from "./pretraining-data.ts";
import { openTextTower } from "./pretraining-text.ts";
import { requireSameRun, stageFolder, stageHashes } from "./run-identity.ts";
import { checkSchedule, type Schedule } from "./schedule.ts";
import { TensorBoardWriter } from "./tensorboard.ts";
import { refuseUnlearnt, type StepReport, skippedUpdates, type TrainingSummary, train } from "./trainer.ts";

export interface PretrainingOptions {
  recipe: PretrainRecipe;
  recipePath: string; // what the recipe's relative paths start from
  shardsFolder: string;
  runDir: string;
  checkpointMinutes: number;
  signal?: AbortSignal;
  onStage?: (stage: PretrainStage, index: number) => void;
  onTexts?: (done: number, total: number) => void;
  onStep?: (stage: PretrainStage, report: StepReport) => void;
  onSkip?: (folder: string, reason: string) => void;
  /** Told of updates that were left out, as `train` tells. */
  onWarning?: (message: string) => void;
}

/** A trained two-tower model as it is handed on: what to build, its weights, its tokenizer. */
export interface PretrainedModel {
  config: TwoTowerConfig;
  weights: Weights;
  tokenizer: TokenizerSource;
  finished: boolean; // false if the run was stopped and can be resumed
  wallSeconds: number;
}

/**
 * Runs the stages of a pretraining recipe one after the other, each from the last one's weights; resumes by itself.
 *
 * @throws UserError: mismatch if shards are damaged, or the folder has stages of another recipe or other data; bad-argument
 *   if the recipe asks of its sets what they do not have, or a set is for evaluation; busy if another process is at work
 *   in the folder; as `train`
 */
export function pretrain(options: PretrainingOptions): Promise<PretrainedModel> {
  return withFolder(options.runDir, async () => {
    for (const stage of options.recipe.stages) checkSchedule(scheduleOf(stage));
    const shards = await openShards(options);
    try {
      return await runStages(options, shards);
    } finally {
      for (const reader of shards.values()) reader.close();
    }
  });
}

async function runStages(
  options: PretrainingOptions,
  shards: ReadonlyMap<string, ShardReader>,
): Promise<PretrainedModel> {
  const { recipe, runDir } = options;
  for (const stage of recipe.stages) checkStageData(stage, shards); // a later one would else fail after the earlier ones
  const text = await openTextTower(recipe, options.recipePath);
  const hashes = stageHashes(recipe, text, shards);
  await requireSameRun(runDir, recipe.stages, hashes);
  let weights: Weights | undefined;
  let wallSeconds = 0;
  let config: TwoTowerConfig | undefined;
  for (const [index, stage] of recipe.stages.entries()) {
    options.onStage?.(stage, index);
    config = {
      image: { ...recipe.image, imageSize: stage.imageSize },
      text: text.config,
      embedding: recipe.embedding,
    };
    const model = new TwoTower(config);
    const start = weights ? resizeWeights(model, weights) : initialWeights(model, recipe.seed);
    for (const [name, data] of text.weights) if (!weights) start.set(textPrefix + name, data);
    const place = { stage, stageDir: stageFolder(runDir, index, stage), configHash: hashes[index] };
    const done = await finishedStage(options, place);
    const summary = done ?? (await runStage(options, place, model, start, text.tokenizer, shards));
    weights = new Map([...start, ...[...summary.weights].map(([name, { data }]) => [name, data] as const)]);
    wallSeconds += summary.wallSeconds;
    if (!summary.finished) return { config, weights, tokenizer: text.tokenizerSource, finished: false, wallSeconds };
  }
  return {
    config: config as TwoTowerConfig,
    weights: weights as Weights,
    tokenizer: text.tokenizerSource,
    finished: true,
    wallSeconds,
  };
}

/** A stage with its folder and the digest of all that decides its steps. */
interface StagePlace {
  readonly stage: PretrainStage;
  readonly stageDir: string;
  readonly configHash: string;
}

/** The result of a stage that an earlier session finished; undefined if there is still something to do. */
async function finishedStage(
  { onSkip }: PretrainingOptions,
  { stage, stageDir, configHash }: StagePlace,
): Promise<TrainingSummary | undefined> {
  const saved = await readLatestCheckpoint(stageDir, { configHash, ...(onSkip ? { onSkip } : {}) });
  if (!saved || saved.step < stage.steps) return undefined;
  const { step: steps, wallSeconds } = saved;
  if (steps > stage.steps) {
    // The stages after it would go by a length that it does not have.
    const rule = `${stageDir}: the recipe's stage must have as many steps as were done, ${steps}, or more`;
    throw new UserError("mismatch", `${rule}; got ${stage.steps}. Raise them, or delete the folder to train it again.`);
  }
  const skipped = skippedUpdates(saved);
  refuseUnlearnt(stageDir, steps, skipped);
  return { finished: true, steps, skipped, wallSeconds, weights: saved.average ?? saved.model };
}

async function runStage(
  options: PretrainingOptions,
  { stage, stageDir, configHash }: StagePlace,
  model: TwoTower,
  start: Weights,
  tokenizer: Tokenizer,
  shards: ReadonlyMap<string, ShardReader>,
): Promise<TrainingSummary> {
  const { recipe } = options;
  const source = await textSource(options, model, start, tokenizer, stage, shards);
  const batches = new ContrastiveBatches(stage, shards, source, recipe.seed);
  const all = namedParameters(model);
  const learnt = new Map([...all].filter(([name]) => !(recipe.freezeText && name.startsWith(textPrefix))));
  const weights = new Map<string, WeightTensor>(
    [...learnt].map(([name, { shape }]) => [name, { shape, data: start.get(name) as Float32Array }]),
  );
  const objective = await ContrastiveObjective.create({
    shape: {
      model,
      parameters: learnt,
      allParameters: all,
      imageSize: stage.imageSize,
      embedding: recipe.embedding,
      text:
        source.kind === "features"
          ? { kind: "features", width: source.bank.width }
          : { kind: "tokens", length: source.length },
      dropPath: recipe.image.dropPath > 0,
      recompute: recipe.recompute,
    },
    weights,
    batch: batches.batchSize,
    texts: batches.textCount,
    seed: recipe.seed,
    maxLogitScale: recipe.maxLogitScale,
    batchAt: (step) => batches.batchAt(step),
    ...(recipe.chunk ? { chunk: recipe.chunk } : {}),
  });
  let log: MetricsLog | undefined;
  let events: TensorBoardWriter | undefined;
  try {
    return await train({
      objective,
      optimizer: await createOptimizer(recipe, weights),
      runDir: stageDir,
      totalSteps: stage.steps,
      schedule: scheduleOf(stage),
      seed: recipe.seed,
      configHash,
      checkpointMinutes: options.checkpointMinutes,
      ...(recipe.optimizer.averageDecay ? { averageDecay: recipe.optimizer.averageDecay } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onSkip ? { onSkip: options.onSkip } : {}),
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
      async onStart(step) {
        log = await MetricsLog.open(join(stageDir, "metrics.jsonl"), step);
        events = new TensorBoardWriter(join(stageDir, "tensorboard"), step);
      },
      onStep(report) {
        const { step, loss, learningRate, gradientNorm, samplesPerSecond, outsideEngine } = report;
        const applied = Number(report.applied);
        const logitScale = Math.exp((weights.get("logitScale") as WeightTensor).data[0]);
        log?.append({ step, loss, learningRate, gradientNorm, logitScale, samplesPerSecond, outsideEngine, applied });
        if (step % 10 === 0) events?.scalars(step, { loss, learningRate, gradientNorm, logitScale });
        options.onStep?.(stage, report);
      },
    });
  } finally {
    log?.close();
    events?.close();
    await objective.dispose();
  }
}

function scheduleOf({ schedule, learningRate, finalLearningRate, warmupSteps, steps }: PretrainStage): Schedule {
  if (schedule === "constant") return { kind: "constant", rate: learningRate, warmupSteps };
  const common = { rate: learningRate, floor: finalLearningRate, warmupSteps, totalSteps: steps };
  if (schedule === "cosine") return { kind: "cosine", ...common };
  return { kind: "stable-decay", ...common, decaySteps: steps - warmupSteps };
}

async function createOptimizer(recipe: PretrainRecipe, weights: TensorMap): Promise<Optimizer> {
  const { kind, weightDecay, beta2, clipNorm, matrixRateScale } = recipe.optimizer;
  const adamw = { weightDecay, beta2, clipNorm };
  if (kind === "adamw") return new AdamW(weights, adamw);
  return Muon.create(weights, { rateScale: matrixRateScale, weightDecay, adamw, isHiddenMatrix: isHiddenInEncoder });
}
