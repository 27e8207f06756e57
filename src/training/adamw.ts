import { ShapeError } from "../core/errors.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { updateAdamW } from "./adamw-kernel.ts";
import type { Optimizer, TensorMap, UpdateReport } from "./optimizer.ts";
import { copyTensors, exemptFromDecay, globalNorm } from "./optimizer.ts";

export interface AdamWOptions {
  readonly beta1?: number; // 0.9
  readonly beta2?: number; // 0.999
  readonly epsilon?: number; // 1e-8
  readonly weightDecay?: number; // 0.1
  /** Largest global gradient norm; larger gradients are scaled down to it. Absent: no clipping. */
  readonly clipNorm?: number;
  /** Which parameters weight decay leaves alone. Default: `exemptFromDecay`. */
  readonly noDecay?: (name: string, shape: readonly number[]) => boolean;
  /** Multiplier of the learning rate for a parameter. Default: 1 for all. */
  readonly learningRateScale?: (name: string, shape: readonly number[]) => number;
}

interface Slot {
  readonly weights: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly decay: number;
  readonly rateScale: number;
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), with clipping by global norm folded into
 * the update. Float32 state; agrees with `torch.optim.AdamW`. Freeze a parameter by not passing it.
 */
export class AdamW implements Optimizer {
  readonly #slots = new Map<string, Slot>();
  readonly #state = new Map<string, WeightTensor>();
  readonly #beta1: number;
  readonly #beta2: number;
  readonly #epsilon: number;
  readonly #clipNorm: number;
  #steps = 0;

  constructor(parameters: TensorMap, options: AdamWOptions = {}) {
    const { weightDecay = 0.1, noDecay = exemptFromDecay, learningRateScale = () => 1 } = options;
    this.#beta1 = options.beta1 ?? 0.9;
    this.#beta2 = options.beta2 ?? 0.999;
    this.#epsilon = options.epsilon ?? 1e-8;
    this.#clipNorm = options.clipNorm ?? Number.POSITIVE_INFINITY;
    for (const [name, { shape, data }] of parameters) {
      const first = new Float32Array(data.length);
      const second = new Float32Array(data.length);
      const decay = noDecay(name, shape) ? 0 : weightDecay;
      this.#slots.set(name, { weights: data, first, second, decay, rateScale: learningRateScale(name, shape) });
      this.#state.set(`first_moment/${name}`, { shape, data: first });
      this.#state.set(`second_moment/${name}`, { shape, data: second });
    }
  }

  get steps(): number {
    return this.#steps;
  }

  step(gradients: ReadonlyMap<string, Float32Array>, learningRate: number): UpdateReport {
    const gradientNorm = globalNorm(this.#inOrder(gradients));
    if (!Number.isFinite(gradientNorm)) return { gradientNorm, clipScale: 0, applied: false };
    const clipScale = gradientNorm > this.#clipNorm ? this.#clipNorm / gradientNorm : 1;
    this.#steps++;
    const firstCorrection = 1 - this.#beta1 ** this.#steps;
    const secondMomentScale = 1 / Math.sqrt(1 - this.#beta2 ** this.#steps);
    for (const [name, { weights, first, second, decay, rateScale }] of this.#slots) {
      const rate = learningRate * rateScale;
      updateAdamW(weights, gradients.get(name) as Float32Array, first, second, {
        gradientScale: clipScale,
        beta1: this.#beta1,
        beta2: this.#beta2,
        weightScale: 1 - rate * decay,
        stepSize: rate / firstCorrection,
        secondMomentScale,
        epsilon: this.#epsilon,
      });
    }
    return { gradientNorm, clipScale, applied: true };
  }

  state(): TensorMap {
    return this.#state;
  }

  restore(state: TensorMap, steps: number): void {
    copyTensors(this.#state, state, "AdamW state");
    this.#steps = steps;
  }

  /** The gradients in the order of the parameters, so that the norm does not depend on the order they arrive in. */
  *#inOrder(gradients: ReadonlyMap<string, Float32Array>): Generator<Float32Array> {
    for (const [name, { weights }] of this.#slots) {
      const gradient = gradients.get(name);
      if (gradient?.length !== weights.length) {
        const got = gradient ? `${gradient.length} values` : "none";
        throw new ShapeError(`AdamW: "${name}" needs a gradient of ${weights.length} values, got ${got}.`);
      }
      yield gradient;
    }
  }
}
