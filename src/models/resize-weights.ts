import { ShapeError } from "../core/errors.ts";
import type { Weights } from "../nn/module.ts";
import { namedParameters } from "../nn/module.ts";
import { resizePositionBias } from "./image-encoder/position-bias.ts";

/**
 * Weights of a model for the same model at another image size: position-bias tables are interpolated where the window
 * changed, all others are taken over. Any other difference is an error.
 */
export function resizeWeights(target: object, weights: ReadonlyMap<string, Float32Array>): Weights {
  const resized: Weights = new Map();
  for (const [name, parameter] of namedParameters(target)) {
    const data = weights.get(name);
    if (!data) throw new ShapeError(`resizeWeights: ${name} is missing`);
    if (data.length === parameter.size) {
      resized.set(name, data.slice());
      continue;
    }
    const heads = parameter.shape[1] as number;
    if (!name.endsWith("positionBias") || parameter.rank !== 2 || data.length % heads !== 0) {
      throw new ShapeError(`resizeWeights: ${name} must hold ${parameter.size} values, got ${data.length}`);
    }
    const window = (rows: number): number => (Math.sqrt(rows) + 1) / 2;
    resized.set(name, resizePositionBias(data, window(data.length / heads), window(parameter.shape[0] as number)));
  }
  for (const name of weights.keys()) {
    if (!resized.has(name)) throw new ShapeError(`resizeWeights: the model has no parameter ${name}`);
  }
  return resized;
}
