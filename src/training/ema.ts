import type { WeightTensor } from "../io/safetensors.ts";
import type { TensorMap } from "./optimizer.ts";
import { copyTensors } from "./optimizer.ts";

export interface WeightAverageOptions {
  readonly decay?: number; // 0.9999
  /** Starts with a short memory: after t updates the decay is at most (1 + t) / (10 + t). Default true. */
  readonly warmup?: boolean;
}

/** Exponential moving average of the weights, kept beside them and used for evaluation and release. */
export class WeightAverage {
  readonly #weights: TensorMap;
  readonly #average = new Map<string, WeightTensor>();
  readonly #decay: number;
  readonly #warmup: boolean;
  #updates = 0;

  /** The average starts as a copy of `weights`, whose arrays it reads again at every update. */
  constructor(weights: TensorMap, { decay = 0.9999, warmup = true }: WeightAverageOptions = {}) {
    this.#weights = weights;
    this.#decay = decay;
    this.#warmup = warmup;
    for (const [name, { shape, data }] of weights) this.#average.set(name, { shape, data: data.slice() });
  }

  get updates(): number {
    return this.#updates;
  }

  /** Moves the average a step towards the weights as they are now. */
  update(): void {
    this.#updates++;
    const decay = averageDecay(this.#updates, this.#decay, this.#warmup);
    for (const [name, { data }] of this.#average)
      moveTowards(data, (this.#weights.get(name) as WeightTensor).data, decay);
  }

  /** The live averaged weights; not a copy. */
  state(): TensorMap {
    return this.#average;
  }

  /** Takes over a saved average. Names and shapes must be exactly those of `state()`. */
  restore(state: TensorMap, updates: number): void {
    copyTensors(this.#average, state, "Weight average");
    this.#updates = updates;
  }
}

/** The decay of the average's update number `update`, counted from 1. */
export function averageDecay(update: number, decay: number, warmup: boolean): number {
  return warmup ? Math.min(decay, (1 + update) / (10 + update)) : decay;
}

function moveTowards(average: Float32Array, weights: Float32Array, decay: number): void {
  const rate = 1 - decay;
  for (let i = 0; i < average.length; i++) {
    const value = average[i];
    average[i] = value + rate * (weights[i] - value);
  }
}
