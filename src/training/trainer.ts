import { UserError } from "../core/errors.ts";
import { withFolder } from "../io/folder-lock.ts";
import type { Objective } from "../tasks/objective.ts";
import { type Checkpoint, readLatestCheckpoint, writeCheckpoint } from "./checkpoint.ts";
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
  /** Told in a sentence of the first update that was left out, and at the end of how many were. */
  onWarning?: (message: string) => void;
  onStep?: (report: StepReport) => void | Promise<void>;
}

export interface TrainingSummary {
  finished: boolean; // false if the signal stopped it
  steps: number;
  wallSeconds: number; // over all sessions of the run
  skipped: number; // updates left out because the gradient was not finite, over all sessions
  /** The released weights: the average if one is kept, else the last. */
  weights: TensorMap;
}

/** So many updates left out in a row, and the run learns nothing more. */
const skippedInRowLimit = 50;

/**
 * The training loop of every task: gradients from the objective, an optimiser, an average of the weights, checkpoints. A run
 * killed at any moment goes on from its last checkpoint to the very losses it would have had.
 *
 * @throws UserError: as reading a checkpoint; bad-argument, after a checkpoint, if the gradient stays not finite;
 *   busy at once if another process trains in the folder
 */
export function train(options: TrainerOptions): Promise<TrainingSummary> {
  return withFolder(options.runDir, () => trainAlone(options)); // others would remove its checkpoints as stale
}

async function trainAlone(options: TrainerOptions): Promise<TrainingSummary> {
  const { objective, optimizer, runDir, totalSteps, seed, configHash } = options;
  const average = options.averageDecay
    ? new WeightAverage(objective.weights, { decay: options.averageDecay })
    : undefined;

  let step = 0;
  let earlierSeconds = 0;
  let skipped = 0;
  let skippedInRow = 0;
  const damaged = new Set<string>();
  const saved = await readLatestCheckpoint(runDir, {
    configHash,
    onSkip(folder, reason) {
      damaged.add(folder); // stays for its owner to look at: this session does not remove it as an abandoned future
      options.onSkip?.(folder, reason);
    },
  });
  if (saved) {
    copyTensors(objective.weights, saved.model, "Checkpoint");
    if (saved.optimizer) optimizer.restore(saved.optimizer, saved.optimizerSteps);
    if (average && saved.average) average.restore(saved.average, saved.averageUpdates ?? 0);
    step = saved.step;
    earlierSeconds = saved.wallSeconds;
    skipped = skippedUpdates(saved);
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
    const checkpoint = {
      step,
      seed,
      configHash,
      wallSeconds: savedSeconds,
      optimizerSteps: optimizer.steps,
      averageUpdates: average?.updates,
      extra: { skipped },
      model: objective.weights,
      optimizer: optimizer.state(),
      average: average?.state(),
    };
    await writeCheckpoint(runDir, checkpoint, { spared: damaged });
    lastSave = performance.now();
  };

  while (step < totalSteps && !options.signal?.aborted) {
    const learningRate = learningRateAt(options.schedule, step);
    const result = await objective.step(step);
    const update = await optimizer.step(result.gradients, learningRate);
    if (update.applied) {
      objective.constrain?.();
      average?.update();
    } else if (skipped++ === 0) {
      const said = `the update of step ${step + 1} is left out, since its gradient is not finite`;
      options.onWarning?.(`${runDir}: ${said}; the run goes on.`);
    }
    skippedInRow = update.applied ? 0 : skippedInRow + 1;
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
    if (skippedInRow >= skippedInRowLimit) break;
    if (now - lastSave > options.checkpointMinutes * 60_000) await save();
  }
  await save();
  if (skippedInRow >= skippedInRowLimit) throw notFinite(runDir, `${skippedInRow} updates in a row were left out`);
  if (step >= totalSteps) refuseUnlearnt(runDir, step, skipped);
  if (skipped > 0) options.onWarning?.(`${runDir}: ${skipped} of ${step} updates were left out: gradient not finite.`);
  return {
    finished: step >= totalSteps,
    steps: step,
    wallSeconds: savedSeconds,
    skipped,
    weights: average?.state() ?? objective.weights,
  };
}

/** How many updates a run had left out when it wrote a checkpoint. */
export function skippedUpdates({ extra }: Pick<Checkpoint, "extra">): number {
  const isCounted = extra !== null && typeof extra === "object" && "skipped" in extra;
  return isCounted && typeof extra.skipped === "number" ? extra.skipped : 0; // none in those of older versions
}

/** Refuses a finished run that left out each of its updates. @throws UserError (bad-argument) naming its folder */
export function refuseUnlearnt(runDir: string, steps: number, skipped: number): void {
  if (steps > 0 && skipped >= steps) throw notFinite(runDir, `all ${steps} updates were left out`);
}

function notFinite(runDir: string, got: string): UserError {
  const remedy = "Lower the learning rate or mend the data, and begin in another output folder.";
  return new UserError("bad-argument", `${runDir}: gradients must be finite, got others: ${got}. ${remedy}`);
}
