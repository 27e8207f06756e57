import type { Objective } from "../tasks/objective.ts";
import { readLatestCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { WeightAverage } from "./ema.ts";
import { copyTensors, type Optimizer, type TensorMap } from "./optimizer.ts";
import { learningRateAt, type Schedule } from "./schedule.ts";

/** What the loop says after each step. */
export interface StepReport {
  step: number; // steps done, this one included
  totalSteps: number;
  loss: number;
  learningRate: number;
  gradientNorm: number;
  samplesPerSecond: number; // over this session's last steps
  outsideEngine: number; // share of this session's time spent outside ONNX Runtime, in [0, 1]
  applied: boolean; // false if the gradient was not finite and the update was left out
}

export interface TrainerOptions {
  objective: Objective;
  runDir: string;
  totalSteps: number;
  schedule: Schedule;
  optimizer: Optimizer; // over the objective's weights
  averageDecay?: number; // keep a running average of the weights
  seed: number;
  configHash: string;
  checkpointMinutes: number;
  /** Stops the run after the step in hand, with a checkpoint. */
  signal?: AbortSignal;
  /** Called once, before the first step, with the step the run starts or resumes from. */
  onStart?: (step: number) => void | Promise<void>;
  /** Told of every damaged checkpoint that was passed over. */
  onSkip?: (folder: string, reason: string) => void;
  onStep?: (report: StepReport) => void | Promise<void>;
}

export interface TrainingSummary {
  finished: boolean; // false if the signal stopped it
  steps: number;
  wallSeconds: number; // over all sessions of the run
  /** The released weights: the average if one is kept, else the last. */
  weights: TensorMap;
}

/**
 * The training loop of every task: gradients from the objective, an optimiser, an average of the weights, checkpoints. A run
 * killed at any moment goes on from its last checkpoint to the very losses it would have had.
 */
export async function train(options: TrainerOptions): Promise<TrainingSummary> {
  const { objective, optimizer, runDir, totalSteps, seed, configHash } = options;
  const average = options.averageDecay
    ? new WeightAverage(objective.weights, { decay: options.averageDecay })
    : undefined;

  let step = 0;
  let earlierSeconds = 0;
  const saved = await readLatestCheckpoint(runDir, {
    configHash,
    ...(options.onSkip ? { onSkip: options.onSkip } : {}),
  });
  if (saved) {
    copyTensors(objective.weights, saved.model, "Checkpoint");
    if (saved.optimizer) optimizer.restore(saved.optimizer, saved.optimizerSteps);
    if (average && saved.average) average.restore(saved.average, saved.averageUpdates ?? 0);
    step = saved.step;
    earlierSeconds = saved.wallSeconds;
  }
  await options.onStart?.(step);

  const started = performance.now();
  let engineMs = 0;
  let lastSave = started;
  let recent = { at: started, step };
  let samplesPerSecond = 0;
  const wallSeconds = (): number => earlierSeconds + (performance.now() - started) / 1000;
  let savedSeconds = 0;
  const save = async (): Promise<void> => {
    savedSeconds = wallSeconds();
    await writeCheckpoint(runDir, {
      step,
      seed,
      configHash,
      wallSeconds: savedSeconds,
      optimizerSteps: optimizer.steps,
      averageUpdates: average?.updates,
      extra: {},
      model: objective.weights,
      optimizer: optimizer.state(),
      average: average?.state(),
    });
    lastSave = performance.now();
  };

  while (step < totalSteps && !options.signal?.aborted) {
    const learningRate = learningRateAt(options.schedule, step);
    const result = await objective.step(step);
    const update = await optimizer.step(result.gradients, learningRate);
    if (update.applied) {
      objective.constrain?.();
      average?.update();
    }
    step++;
    engineMs += result.engineMs + (update.engineMs ?? 0);
    const now = performance.now();
    if (now - recent.at > 2000 || samplesPerSecond === 0) {
      samplesPerSecond = ((step - recent.step) * objective.samplesPerStep * 1000) / (now - recent.at);
      recent = { at: now, step };
    }
    await options.onStep?.({
      step,
      totalSteps,
      loss: result.loss,
      learningRate,
      gradientNorm: update.gradientNorm,
      samplesPerSecond,
      outsideEngine: 1 - engineMs / (now - started),
      applied: update.applied,
    });
    if (now - lastSave > options.checkpointMinutes * 60_000) await save();
  }
  await save();
  return {
    finished: step >= totalSteps,
    steps: step,
    wallSeconds: savedSeconds,
    weights: average?.state() ?? objective.weights,
  };
}
