import { ShapeError } from "../core/errors.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { copyTensors, globalNorm, type Optimizer, type TensorMap, type UpdateReport } from "./optimizer.ts";

/** What decides the updates of one parameter. */
export interface SgdGroup {
  readonly momentum: number; // in [0, 1)
  readonly rateScale: number; // times the learning rate
}

interface Slot extends SgdGroup {
  readonly weights: Float32Array;
  readonly velocity: Float32Array;
}

/** Gradient descent with momentum: v ← m·v + g, w ← w − rate·v. Agrees with `torch.optim.SGD` without decay. */
export class Sgd implements Optimizer {
  readonly #slots = new Map<string, Slot>();
  readonly #state = new Map<string, WeightTensor>();
  #steps = 0;

  constructor(parameters: TensorMap, groupOf: (name: string) => SgdGroup) {
    for (const [name, { shape, data }] of parameters) {
      const velocity = new Float32Array(data.length);
      this.#slots.set(name, { weights: data, velocity, ...groupOf(name) });
      this.#state.set(`velocity/${name}`, { shape, data: velocity });
    }
  }

  get steps(): number {
    return this.#steps;
  }

  step(gradients: ReadonlyMap<string, Float32Array>, learningRate: number): UpdateReport {
    const gradientNorm = globalNorm(this.#inOrder(gradients));
    if (!Number.isFinite(gradientNorm)) return { gradientNorm, clipScale: 0, applied: false };
    this.#steps++;
    for (const [name, { weights, velocity, momentum, rateScale }] of this.#slots) {
      const gradient = gradients.get(name) as Float32Array;
      const rate = learningRate * rateScale;
      for (let i = 0; i < weights.length; i++) {
        const v = momentum * velocity[i] + gradient[i];
        velocity[i] = v;
        weights[i] -= rate * v;
      }
    }
    return { gradientNorm, clipScale: 1, applied: true };
  }

  state(): TensorMap {
    return this.#state;
  }

  restore(state: TensorMap, steps: number): void {
    copyTensors(this.#state, state, "SGD state");
    this.#steps = steps;
  }

  *#inOrder(gradients: ReadonlyMap<string, Float32Array>): Generator<Float32Array> {
    for (const [name, { weights }] of this.#slots) {
      const gradient = gradients.get(name);
      if (gradient?.length !== weights.length) {
        throw new ShapeError(`Sgd: "${name}" needs a gradient of ${weights.length} values, got ${gradient?.length}.`);
      }
      yield gradient;
    }
  }
}
