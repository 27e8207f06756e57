import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ShardReader } from "../data/shards.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { isHiddenInEncoder } from "../models/hidden-matrices.ts";
import { resizeWeights } from "../models/resize-weights.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { initialWeights, namedParameters, type Weights } from "../nn/module.ts";
import { ContrastiveBatches, renderings } from "../tasks/pretrain/contrastive-batches.ts";
import { ContrastiveObjective } from "../tasks/pretrain/contrastive-objective.ts";
import type { PretrainRecipe, PretrainStage } from "../tasks/pretrain/recipe.ts";
import { TextFeatureBank } from "../tasks/pretrain/text-feature-bank.ts";
import type { TextSource } from "../tasks/pretrain/text-feeds.ts";
import type { TokenizerSource } from "../zoo/tokenizer-files.ts";
import { AdamW } from "./adamw.ts";
import { hashConfig, readLatestCheckpoint } from "./checkpoint.ts";
import { MetricsLog } from "./metrics-log.ts";
import { Muon } from "./muon.ts";
import type { Optimizer, TensorMap } from "./optimizer.ts";
import { openTextTower } from "./pretraining-text.ts";
import type { Schedule } from "./schedule.ts";
import { TensorBoardWriter } from "./tensorboard.ts";
import { type StepReport, type TrainingSummary, train } from "./trainer.ts";

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
}

/** A trained two-tower model as it is handed on: what to build, its weights, its tokenizer. */
export interface PretrainedModel {
  config: TwoTowerConfig;
  weights: Weights;
  tokenizer: TokenizerSource;
  finished: boolean; // false if the run was stopped and can be resumed
  wallSeconds: number;
}

const textPrefix = "textEncoder.";

/** Runs the stages of a pretraining recipe one after the other, each from the last one's weights; resumes by itself. */
export async function pretrain(options: PretrainingOptions): Promise<PretrainedModel> {
  const { recipe, runDir } = options;
  await mkdir(runDir, { recursive: true });
  const text = await openTextTower(recipe, options.recipePath);
  const shards = openShards(options);
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
    const stageDir = join(runDir, `stage-${index}-${stage.name}`);
    const done = await finishedStage(options, stage, stageDir);
    const summary = done ?? (await runStage(options, stage, stageDir, model, start, text.tokenizer, shards));
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

/** The sets whose texts a stage may draw. */
function setsOf({ perBatch, extraTexts = {} }: PretrainStage): string[] {
  return [...new Set([...Object.keys(perBatch), ...Object.keys(extraTexts)])];
}

function openShards({ recipe, shardsFolder }: PretrainingOptions): Map<string, ShardReader> {
  const names = new Set(recipe.stages.flatMap(setsOf));
  return new Map([...names].map((name) => [name, ShardReader.open(join(shardsFolder, name))]));
}

async function textSource(
  options: PretrainingOptions,
  model: TwoTower,
  weights: Weights,
  tokenizer: Tokenizer,
  stage: PretrainStage,
  shards: ReadonlyMap<string, ShardReader>,
): Promise<TextSource> {
  const { recipe } = options;
  if (!recipe.freezeText) return { kind: "tokens", tokenizer, length: recipe.textTokens };
  const texts = new Set<string>();
  for (const name of setsOf(stage)) {
    for (const row of (shards.get(name) as ShardReader).rows) {
      for (const text of row.texts)
        for (const rendering of renderings(text, stage.templatedTexts)) texts.add(rendering);
    }
  }
  const encoderWeights = new Map(
    [...weights].flatMap(([name, data]) =>
      name.startsWith(textPrefix) ? [[name.slice(textPrefix.length), data]] : [],
    ),
  );
  const identity = createHash("sha256").update(tokenizer.fingerprintParts);
  for (const data of encoderWeights.values())
    identity.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  for (const text of [...texts].sort()) identity.update(`${text}\n`);
  const bank = await TextFeatureBank.create({
    encoder: model.textEncoder,
    weights: encoderWeights,
    tokenizer,
    texts,
    cachePath: join(options.runDir, `text-features-${identity.digest("hex").slice(0, 16)}.bin`),
    ...(options.onTexts ? { onProgress: options.onTexts } : {}),
  });
  return { kind: "features", bank };
}

/** The result of a stage that an earlier session finished; undefined if there is still something to do. */
async function finishedStage(
  { recipe, onSkip }: PretrainingOptions,
  stage: PretrainStage,
  stageDir: string,
): Promise<TrainingSummary | undefined> {
  const saved = await readLatestCheckpoint(stageDir, {
    configHash: stageHash(recipe, stage),
    ...(onSkip ? { onSkip } : {}),
  });
  if (!saved || saved.step < stage.steps) return undefined;
  const { step: steps, wallSeconds } = saved;
  return { finished: true, steps, wallSeconds, weights: saved.average ?? saved.model };
}

async function runStage(
  options: PretrainingOptions,
  stage: PretrainStage,
  stageDir: string,
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
      configHash: stageHash(recipe, stage),
      checkpointMinutes: options.checkpointMinutes,
      ...(recipe.optimizer.averageDecay ? { averageDecay: recipe.optimizer.averageDecay } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onSkip ? { onSkip: options.onSkip } : {}),
      async onStart(step) {
        log = await MetricsLog.open(join(stageDir, "metrics.jsonl"), step);
        events = new TensorBoardWriter(join(stageDir, "tensorboard"), step);
      },
      onStep(report) {
        const { step, loss, learningRate, gradientNorm, samplesPerSecond, outsideEngine } = report;
        const logitScale = Math.exp((weights.get("logitScale") as WeightTensor).data[0]);
        log?.append({ step, loss, learningRate, gradientNorm, logitScale, samplesPerSecond, outsideEngine });
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

/** A digest of all that decides a step. A stage of constant rate may be made longer later: its length decides none. */
function stageHash(recipe: PretrainRecipe, stage: PretrainStage): string {
  return hashConfig({ ...recipe, stages: [stage.schedule === "constant" ? { ...stage, steps: 0 } : stage] });
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
