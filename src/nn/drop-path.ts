import type { Rng } from "../core/rng.ts";
import { add, mul, reshape } from "../graph/broadcasting.ts";
import { slice } from "../graph/shaping.ts";
import { input, type Tensor } from "../graph/tensor.ts";

/**
 * Stochastic depth: whole residual branches are dropped for some images of a batch. Huang et al., arXiv:1603.09382.
 * The draws are fed from outside the graph, so that a step can be repeated exactly.
 */
export class DropPath {
  readonly rates: readonly number[]; // by residual branch, first to last
  readonly #scales: Tensor;
  #used = 0;

  /** `name`: the graph input [branches, B] to feed with `drawDropPath`. */
  constructor(rates: readonly number[], batch: number, name = "dropPath") {
    this.rates = rates;
    this.#scales = input(name, [rates.length, batch]);
  }

  /** x + branch, the branch scaled or dropped by image; call once for each residual branch, first to last. */
  join(x: Tensor, branch: Tensor): Tensor {
    const index = this.#used++ % this.rates.length;
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
