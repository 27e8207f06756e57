import { ShapeError } from "../core/errors.ts";
import { mul } from "../graph/broadcasting.ts";
import { linear } from "../graph/matrix.ts";
import { Parameter, Tensor } from "../graph/tensor.ts";
import { Linear } from "./linear.ts";
import { normal, type Weights, zeros } from "./module.ts";

export interface LowRankConfig {
  readonly rank: number;
  readonly alpha: number; // the update is scaled by alpha / rank
}

/** A learnt update of rank r to a frozen linear layer: x → (α/r)·U·D·x, nothing at first. LoRA, arXiv:2106.09685. */
export class LowRankAdapter {
  readonly down: Parameter; // D, [r, in]
  readonly up: Parameter; // U, [out, r], zeros at first
  readonly #scale: number;

  constructor(inputs: number, outputs: number, { rank, alpha }: LowRankConfig) {
    this.down = new Parameter([rank, inputs], normal(inputs ** -0.5));
    this.up = new Parameter([outputs, rank], zeros);
    this.#scale = alpha / rank;
  }

  /** @param x  [..., in].  @returns  [..., out] */
  forward(x: Tensor): Tensor {
    return mul(linear(linear(x, this.down), this.up), this.#scale);
  }
}

/** All linear layers of a module by their path through its public fields, as `namedParameters` names them. */
export function namedLinears(module: object, prefix = ""): Map<string, Linear> {
  const found = new Map<string, Linear>();
  collect(module, prefix, found);
  return found;
}

function collect(value: unknown, path: string, found: Map<string, Linear>): void {
  if (value instanceof Linear) {
    found.set(path, value);
  } else if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) collect(item, path ? `${path}.${i}` : String(i), found);
  } else if (value !== null && typeof value === "object" && !(value instanceof Tensor) && !ArrayBuffer.isView(value)) {
    for (const [name, field] of Object.entries(value)) collect(field, path ? `${path}.${name}` : name, found);
  }
}

/** The parameters that an adapter adds to the layer called `linear`. */
export const adapterNames = (linear: string) => ({ down: `${linear}.adapter.down`, up: `${linear}.adapter.up` });

/**
 * Puts an adapter beside every linear layer whose name is wanted. Whatever the module is, its graph then has them.
 *
 * @returns the names of the layers
 * @throws  ShapeError if one has an adapter already
 */
export function addAdapters(module: object, config: LowRankConfig, isWanted: (name: string) => boolean): string[] {
  const names: string[] = [];
  for (const [name, layer] of namedLinears(module)) {
    if (!isWanted(name)) continue;
    if (layer.adapter) throw new ShapeError(`addAdapters: ${name} must have no adapter yet, it has one`);
    const [outputs, inputs] = layer.weight.shape as readonly [number, number];
    layer.adapter = new LowRankAdapter(inputs, outputs, config);
    names.push(name);
  }
  return names;
}

/**
 * The weights of the plain module that computes what the adapted one does: W + (α/r)·U·D for each adapted layer.
 * Neither argument changes.
 *
 * @param base      of the plain module
 * @param adapters  under the names of `adapterNames`
 * @throws          ShapeError if an adapter's sizes do not fit its layer
 */
export function mergeAdapters(
  base: ReadonlyMap<string, Float32Array>,
  adapters: ReadonlyMap<string, Float32Array>,
  { rank, alpha }: LowRankConfig,
): Weights {
  const merged: Weights = new Map([...base].map(([name, data]) => [name, data.slice()]));
  for (const [key, down] of adapters) {
    if (!key.endsWith(".adapter.down")) continue;
    const linear = key.slice(0, -".adapter.down".length);
    const up = adapters.get(adapterNames(linear).up);
    const weight = merged.get(`${linear}.weight`);
    const [inputs, outputs] = [down.length / rank, (up?.length ?? 0) / rank];
    if (!up || weight?.length !== inputs * outputs) {
      throw new ShapeError(`mergeAdapters: ${linear} must have a weight of [${outputs}, ${inputs}], it has not`);
    }
    addProduct(weight, up, down, rank, alpha / rank);
  }
  return merged;
}

/** weight += scale · up · down, summed in float64. */
function addProduct(weight: Float32Array, up: Float32Array, down: Float32Array, rank: number, scale: number): void {
  const inputs = down.length / rank;
  const row = new Float64Array(inputs);
  for (let out = 0; out < up.length / rank; out++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = up[out * rank + r] * scale;
      for (let i = 0; i < inputs; i++) row[i] += factor * down[r * inputs + i];
    }
    for (let i = 0; i < inputs; i++) weight[out * inputs + i] += row[i];
  }
}
