import { Rng } from "../../core/rng.ts";
import { type MixingConfig, mixBatch } from "../../data/mixing.ts";
import type { WeightTensor } from "../../io/safetensors.ts";
import { drawDropPath } from "../../nn/drop-path.ts";
import { shardingOf } from "../../runtime/sharded-program.ts";
import { NextBatch } from "../next-batch.ts";
import type { Objective, StepResult } from "../objective.ts";
import { type HeadBatch, HeadProgram, type HeadStepShape } from "./head-program.ts";
import type { TrainingViews } from "./training-views.ts";

export interface HeadObjectiveOptions {
  readonly shape: HeadStepShape;
  /** Starting values of every learnt parameter; those that the loss depends on are changed in place. */
  readonly start: ReadonlyMap<string, Float32Array>;
  readonly views: TrainingViews;
  /** Classes of each row of the views' store. */
  readonly labels: readonly (readonly number[])[];
  readonly labelSmoothing: number;
  readonly mixing: MixingConfig;
  readonly seed: number;
}

/** A classifier on an image tower as an objective: cross-entropy over the classes. */
export class HeadObjective implements Objective {
  readonly weights: ReadonlyMap<string, WeightTensor>;
  readonly samplesPerStep: number;
  readonly #options: HeadObjectiveOptions;
  readonly #program: HeadProgram;
  readonly #batches = new NextBatch((step) => this.#batchAt(step));

  private constructor(options: HeadObjectiveOptions, program: HeadProgram) {
    this.#options = options;
    this.#program = program;
    this.samplesPerStep = options.shape.batch;
    this.weights = new Map(
      [...program.learnt].map(([name, { shape }]) => [name, { shape, data: options.start.get(name) as Float32Array }]),
    );
  }

  static async create(options: HeadObjectiveOptions): Promise<HeadObjective> {
    return new HeadObjective(options, await HeadProgram.create(options.shape, shardingOf(options.shape.batch)));
  }

  async step(step: number): Promise<StepResult> {
    const values = new Map([...this.weights].map(([name, { data }]) => [name, data]));
    const running = this.#program.run(values, await this.#batches.take(step));
    if (this.#program.shards > 1) this.#batches.prepare(step + 1);
    return running;
  }

  dispose(): Promise<void> {
    return this.#program.dispose();
  }

  #batchAt(step: number): HeadBatch {
    const { shape, views, labels, labelSmoothing, mixing, seed } = this.#options;
    const { batch, classes, imageSize, loss, model } = shape;
    const { pixels, rows } = views.viewsAt(step);
    const targets = new Float32Array(batch * classes);
    for (const [i, row] of rows.entries()) {
      const target = targets.subarray(i * classes, (i + 1) * classes);
      setTargets(target, labels[row] as readonly number[], loss === "softmax" ? labelSmoothing : 0);
    }
    const rng = new Rng(seed).fork(`tuning ${step}`);
    mixBatch({ pixels, targets, size: imageSize, batch }, mixing, rng);
    return {
      pixels,
      targets,
      rowWeights: new Float32Array(batch).fill(1 / batch),
      ...(shape.dropPath ? { dropPath: drawDropPath(model.imageEncoder.dropRates, batch, rng) } : {}),
    };
  }
}

/** 1 − smoothing on the classes that are there and the rest shared by all, as Szegedy et al. have it, arXiv:1512.00567. */
export function setTargets(target: Float32Array, labels: readonly number[], smoothing: number): void {
  target.fill(smoothing / target.length);
  for (const label of labels) target[label] += 1 - smoothing;
}
