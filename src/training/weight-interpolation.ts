import { ShapeError } from "../core/errors.ts";
import type { Weights } from "../nn/module.ts";

/**
 * Weights on the straight line between two models: (1 − α)·start + α·tuned. Wortsman et al. (WiSE-FT),
 * arXiv:2109.01903. Tensors that are one and the same array in both stay that array, and so do both ends.
 *
 * @param alpha  0 gives `start` and 1 `tuned`, to the bit
 * @throws       ShapeError if the two do not have the same tensors
 */
export function interpolateWeights(
  start: ReadonlyMap<string, Float32Array>,
  tuned: ReadonlyMap<string, Float32Array>,
  alpha: number,
): Weights {
  const weights: Weights = new Map();
  for (const [name, from] of start) {
    const to = tuned.get(name);
    if (to?.length !== from.length) {
      throw new ShapeError(`interpolateWeights: ${name} must have ${from.length} values in both, got ${to?.length}`);
    }
    weights.set(name, alpha === 0 || from === to ? from : alpha === 1 ? to : between(from, to, alpha));
  }
  const extra = [...tuned.keys()].find((name) => !start.has(name));
  if (extra !== undefined) throw new ShapeError(`interpolateWeights: ${extra} must be in both, it is not`);
  return weights;
}

function between(from: Float32Array, to: Float32Array, alpha: number): Float32Array {
  return from.map((value, i) => value + alpha * (to[i] - value));
}
