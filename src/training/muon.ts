import { input, type Tensor } from "../graph/tensor.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { orthogonalization } from "../nn/orthogonalization.ts";
import { compile, type Program } from "../runtime/program.ts";
import { AdamW, type AdamWOptions } from "./adamw.ts";
import { copyTensors, globalNorm, type Optimizer, type TensorMap, type UpdateReport } from "./optimizer.ts";

export interface MuonOptions {
  /** Learning rate of the matrices as a multiple of the rate that the rest gets. */
  readonly rateScale: number;
  readonly momentum?: number; // 0.95
  readonly weightDecay?: number; // of the matrices, per unit of the common learning rate
  /** Which parameters are matrices of hidden layers. */
  readonly isHiddenMatrix: (name: string, shape: readonly number[]) => boolean;
  /** Factor on the rate of a hidden matrix. Default: 1 for all. */
  readonly learningRateScale?: (name: string, shape: readonly number[]) => number;
  /** For all other parameters. */
  readonly adamw: AdamWOptions;
}

const directionPrefix = "direction/";

interface Slot {
  readonly name: string;
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly direction: Float32Array;
  readonly rateScale: number; // with what evens out the size of updates between tall and wide matrices
}

/**
 * Muon: momentum whose direction is made orthogonal by a Newton–Schulz iteration, for the matrices of hidden layers;
 * AdamW for the rest. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. Kernels of more
 * axes count as matrices [out, rest].
 */
export class Muon implements Optimizer {
  readonly #adamw: AdamW;
  readonly #rest: readonly string[];
  readonly #slots: readonly Slot[];
  readonly #state: Map<string, WeightTensor>;
  readonly #program: Program;
  readonly #options: Required<Pick<MuonOptions, "momentum" | "weightDecay">>;

  private constructor(
    adamw: AdamW,
    rest: readonly string[],
    slots: readonly Slot[],
    program: Program,
    options: MuonOptions,
  ) {
    this.#adamw = adamw;
    this.#rest = rest;
    this.#slots = slots;
    this.#program = program;
    const { momentum = 0.95, weightDecay = 0 } = options;
    this.#options = { momentum, weightDecay };
    this.#state = new Map(adamw.state());
    for (const { name, momentum: data } of slots) this.#state.set(`momentum/${name}`, { shape: [data.length], data });
  }

  static async create(parameters: TensorMap, options: MuonOptions): Promise<Muon> {
    const rest = new Map<string, WeightTensor>();
    const slots: Slot[] = [];
    const outputs: Record<string, Tensor> = {};
    const scaleOf = options.learningRateScale ?? (() => 1);
    for (const [name, tensor] of parameters) {
      const { shape, data } = tensor;
      if (!options.isHiddenMatrix(name, shape)) {
        rest.set(name, tensor);
        continue;
      }
      const rows = shape[0] as number;
      const columns = data.length / rows;
      slots.push({
        name,
        weights: data,
        momentum: new Float32Array(data.length),
        direction: new Float32Array(data.length),
        rateScale: options.rateScale * scaleOf(name, shape) * Math.sqrt(Math.max(1, rows / columns)),
      });
      outputs[directionPrefix + name] = orthogonalization(input(name, [rows, columns]));
    }
    const program = await compile({ outputs });
    return new Muon(new AdamW(rest, options.adamw), [...rest.keys()], slots, program, options);
  }

  get steps(): number {
    return this.#adamw.steps;
  }

  async step(gradients: ReadonlyMap<string, Float32Array>, learningRate: number): Promise<UpdateReport> {
    const hiddenNorm = globalNorm(this.#slots.map(({ name }) => gradients.get(name) as Float32Array));
    if (!Number.isFinite(hiddenNorm)) return { gradientNorm: hiddenNorm, clipScale: 0, applied: false };
    const restGradients = new Map(this.#rest.map((name) => [name, gradients.get(name) as Float32Array]));
    const report = this.#adamw.step(restGradients, learningRate);
    if (!report.applied) return report;
    const feeds: Record<string, Float32Array> = {};
    for (const slot of this.#slots) {
      advanceMomentum(slot, gradients.get(slot.name) as Float32Array, this.#options.momentum);
      feeds[slot.name] = slot.direction;
    }
    const started = performance.now();
    const directions = await this.#program.run(feeds);
    const engineMs = performance.now() - started;
    for (const { name, weights, rateScale } of this.#slots) {
      const direction = directions[directionPrefix + name] as Float32Array;
      const keep = 1 - learningRate * this.#options.weightDecay;
      const rate = learningRate * rateScale;
      for (let i = 0; i < weights.length; i++) weights[i] = weights[i] * keep - rate * direction[i];
    }
    return { ...report, gradientNorm: Math.hypot(report.gradientNorm, hiddenNorm), engineMs };
  }

  state(): TensorMap {
    return this.#state;
  }

  restore(state: TensorMap, steps: number): void {
    copyTensors(this.#state, state, "Muon");
    this.#adamw.restore(
      new Map([...this.#adamw.state().keys()].map((key) => [key, state.get(key) as WeightTensor])),
      steps,
    );
  }
}

/** Nesterov momentum, its direction scaled to Frobenius norm 1, as the iteration wants it. */
function advanceMomentum({ momentum, direction }: Slot, gradient: Float32Array, decay: number): void {
  let total = 0;
  for (let i = 0; i < gradient.length; i++) {
    momentum[i] = decay * momentum[i] + gradient[i];
    const value = gradient[i] + decay * momentum[i];
    direction[i] = value;
    total += value * value;
  }
  const scale = 1 / (Math.sqrt(total) + 1e-12);
  for (let i = 0; i < direction.length; i++) direction[i] *= scale;
}
