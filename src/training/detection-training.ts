import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { withFolder } from "../io/folder-lock.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import type { Detector } from "../models/detection/detector.ts";
import type { Weights } from "../nn/module.ts";
import { DetectionObjective } from "../tasks/detection/detection-objective.ts";
import { type DetectionRecipe, isHiddenInDetector, isLearntByDetection } from "../tasks/detection/detection-recipe.ts";
import { TrainingBatches, type TrainingSource } from "../tasks/detection/training-batches.ts";
import { AdamW } from "./adamw.ts";
import { hashConfig } from "./checkpoint.ts";
import { curveOf, writeLossCurve } from "./loss-curve.ts";
import { MetricsLog, readMetrics } from "./metrics-log.ts";
import { Muon } from "./muon.ts";
import type { TensorMap } from "./optimizer.ts";
import { type StepReport, train } from "./trainer.ts";

/** A step of a detector's training: the loop's report and the parts of the loss. */
export interface DetectionStepReport extends StepReport {
  readonly classification: number;
  readonly boxes: number;
  readonly centerness: number;
  readonly positives: number; // anchors that had an object
}

export interface DetectionTrainingOptions {
  readonly name: string; // of the run, for its loss curve
  readonly detector: Detector;
  /** Values of all its parameters; not changed. */
  readonly start: ReadonlyMap<string, Float32Array>;
  readonly recipe: DetectionRecipe;
  readonly sources: readonly TrainingSource[];
  /** Class embeddings of length 1, [K, D], for a detector whose classes are texts. */
  readonly texts?: Float32Array;
  readonly runDir: string;
  /** What else decides the run, such as fingerprints of model and data: a checkpoint of another run is refused. */
  readonly identity: Readonly<Record<string, unknown>>;
  readonly checkpointMinutes: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onStep?: (report: DetectionStepReport) => void | Promise<void>;
  /** Told of every damaged checkpoint that was passed over. */
  readonly onSkip?: (folder: string, reason: string) => void;
  /** Told of updates that were left out, as `train` tells. */
  readonly onWarning?: (message: string) => void;
}

export interface TrainedDetector {
  readonly weights: Weights; // all parameters; those that were not learnt are the arrays of `start`
  readonly finished: boolean; // false if the signal stopped it; the same call goes on
  readonly steps: number;
  readonly wallSeconds: number;
}

/**
 * Trains a detector on any sources of pictures with boxes. Killed at any moment, the same call goes on from the last
 * checkpoint to the very losses of an unbroken run. The run's folder has `metrics.jsonl` and the loss curve.
 *
 * @throws UserError: mismatch if the folder holds another run, busy if another process is at work there, empty without a picture to train on
 */
export function trainDetector(options: DetectionTrainingOptions): Promise<TrainedDetector> {
  return withFolder(options.runDir, () => trainAlone(options));
}

async function trainAlone(options: DetectionTrainingOptions): Promise<TrainedDetector> {
  const { detector, start, recipe, sources, texts, runDir } = options;
  await mkdir(runDir, { recursive: true });
  const { weights, frozenWeights } = divide(detector, start, recipe);
  const batches = new TrainingBatches({
    sources,
    batch: recipe.batch,
    side: recipe.side,
    augmentation: recipe.augmentation,
    seed: recipe.seed,
    mosaicUntil: Math.round(recipe.mosaicShare * recipe.steps),
    ...(texts ? { texts } : {}),
  });
  const objective = new DetectionObjective({
    detector,
    weights,
    frozenWeights,
    batch: recipe.batch,
    batchAt: (step) => batches.at(step),
    ...(options.threads ? { threads: options.threads } : {}),
  });
  let log: MetricsLog | undefined;
  try {
    const summary = await train({
      objective,
      optimizer: await createOptimizer(recipe, weights),
      runDir,
      totalSteps: recipe.steps,
      schedule: {
        kind: "cosine",
        rate: recipe.learningRate,
        floor: recipe.finalLearningRate,
        warmupSteps: recipe.warmupSteps,
        totalSteps: recipe.steps,
      },
      seed: recipe.seed,
      configHash: hashConfig({ recipe, detector: detector.config, ...options.identity }),
      checkpointMinutes: options.checkpointMinutes,
      ...(recipe.averageDecay === undefined ? {} : { averageDecay: recipe.averageDecay }),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.onSkip ? { onSkip: options.onSkip } : {}),
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
      async onStart(step) {
        log = await MetricsLog.open(join(runDir, "metrics.jsonl"), step);
      },
      async onStep(report) {
        const parts = objective.lastParts ?? { classification: 0, boxes: 0, centerness: 0, positives: 0 };
        const { step, loss, learningRate, gradientNorm, samplesPerSecond, outsideEngine } = report;
        const applied = Number(report.applied);
        log?.append({ step, loss, ...parts, learningRate, gradientNorm, samplesPerSecond, outsideEngine, applied });
        await options.onStep?.({ ...report, ...parts });
      },
    });
    const learnt = new Map([...summary.weights].map(([name, { data }]) => [name, data]));
    return {
      weights: new Map([...start].map(([name, data]) => [name, learnt.get(name) ?? data])),
      finished: summary.finished,
      steps: summary.steps,
      wallSeconds: summary.wallSeconds,
    };
  } finally {
    log?.close();
    await objective.dispose();
    await drawCurve(options);
  }
}

function createOptimizer(recipe: DetectionRecipe, weights: TensorMap): AdamW | Promise<Muon> {
  const { optimizer, matrixRateScale, weightDecay, clipNorm, encoderRateScale, classifierRateScale } = recipe;
  const learningRateScale = (name: string): number => {
    if (name.startsWith("imageEncoder.")) return encoderRateScale;
    return name.startsWith("head.classifier.") ? classifierRateScale : 1;
  };
  const adamw = { weightDecay, clipNorm, learningRateScale };
  if (optimizer === "adamw") return new AdamW(weights, adamw);
  return Muon.create(weights, {
    ...{ rateScale: matrixRateScale, weightDecay, learningRateScale, adamw },
    isHiddenMatrix: isHiddenInDetector,
  });
}

/** Copies of what is learnt, and the rest as it is. */
function divide(
  detector: Detector,
  start: ReadonlyMap<string, Float32Array>,
  recipe: DetectionRecipe,
): { weights: Map<string, WeightTensor>; frozenWeights: Map<string, Float32Array> } {
  const weights = new Map<string, WeightTensor>();
  const frozenWeights = new Map<string, Float32Array>();
  for (const [name, { shape }] of detector.learnable) {
    const data = start.get(name) as Float32Array;
    if (isLearntByDetection(name, recipe)) weights.set(name, { shape, data: data.slice() });
    else frozenWeights.set(name, data);
  }
  return { weights, frozenWeights };
}

async function drawCurve({ runDir, name }: DetectionTrainingOptions): Promise<void> {
  const records = await readMetrics(join(runDir, "metrics.jsonl"));
  if (records.length < 2) return;
  await writeLossCurve(runDir, "loss-curve", {
    title: `${name}: detection`,
    loss: curveOf(records, "loss"),
    learningRate: curveOf(records, "learningRate"),
  });
}
