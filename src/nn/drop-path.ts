import { ShapeError } from "../core/errors.ts";
import type { Rng } from "../core/rng.ts";
import { add, mul, reshape } from "../graph/broadcasting.ts";
import { slice } from "../graph/shaping.ts";
import { input, type Tensor } from "../graph/tensor.ts";

/** x + branch, perhaps with the branch scaled or dropped by image. */
export type ResidualJoin = (x: Tensor, branch: Tensor) => Tensor;

/**
 * Stochastic depth: whole residual branches are dropped for some images of a batch. Huang et al., arXiv:1603.09382.
 * The draws are fed from outside the graph, so that a step can be repeated exactly.
 */
export class DropPath {
  readonly rates: readonly number[]; // by residual branch, first to last
  readonly #scales: Tensor;
  #taken = 0;

  /** `name`: the graph input [branches, B] to feed with `drawDropPath`. */
  constructor(rates: readonly number[], batch: number, name = "dropPath") {
    this.rates = rates;
    this.#scales = input(name, [rates.length, batch]);
  }

  /**
   * The joins of the next `count` residual branches; take them once for each block, first to last. A join may be built
   * any number of times, as activation checkpointing does, and draws the same.
   */
  take(count: number): ResidualJoin[] {
    const first = this.#taken;
    this.#taken += count;
    if (this.#taken > this.rates.length) {
      throw new ShapeError(`DropPath: at most ${this.rates.length} branches may be taken, got ${this.#taken}`);
    }
    return Array.from({ length: count }, (_, i) => (x: Tensor, branch: Tensor) => this.#join(first + i, x, branch));
  }

  #join(index: number, x: Tensor, branch: Tensor): Tensor {
    if (this.rates[index] === 0) return add(x, branch);
    const perImage = reshape(slice(this.#scales, 0, index, index + 1), [x.shape[0], ...x.shape.slice(1).map(() => 1)]);
    return add(x, mul(branch, perImage));
  }
}

/** 0 for a dropped branch, else 1/(1 − rate); [branches, B]. */
export function drawDropPath(rates: readonly number[], batch: number, rng: Rng): Float32Array {
  const scales = new Float32Array(rates.length * batch);
  for (const [i, rate] of rates.entries()) {
    for (let b = 0; b < batch; b++) scales[i * batch + b] = rng.uniform() < rate ? 0 : 1 / (1 - rate);
  }
  return scales;
}

/** Rates that grow evenly from 0 to `maximum` over the blocks, each block having two branches. */
export function linearDropRates(maximum: number, blocks: number): number[] {
  return Array.from({ length: 2 * blocks }, (_, i) => (blocks > 1 ? (maximum * Math.floor(i / 2)) / (blocks - 1) : 0));
}
