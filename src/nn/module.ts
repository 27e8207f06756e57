import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { type Initializer, Parameter, Tensor } from "../graph/tensor.ts";

/** Values of a model's parameters by name. */
export type Weights = Map<string, Float32Array>;

/**
 * All parameters of a module by their path through its public fields, in the order of declaration: these paths are the
 * names in a checkpoint. Lists count as `blocks.0`, `blocks.1`, ….
 */
export function namedParameters(module: object, prefix = ""): Map<string, Parameter> {
  const found = new Map<string, Parameter>();
  collect(module, prefix, found);
  return found;
}

function collect(value: unknown, path: string, found: Map<string, Parameter>): void {
  if (value instanceof Parameter) {
    found.set(path, value);
  } else if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) collect(item, path ? `${path}.${i}` : String(i), found);
  } else if (value !== null && typeof value === "object" && !(value instanceof Tensor) && !ArrayBuffer.isView(value)) {
    for (const [name, field] of Object.entries(value)) collect(field, path ? `${path}.${name}` : name, found);
  }
}

/** How many numbers a module learns. */
export function countParameters(module: object): number {
  let count = 0;
  for (const parameter of namedParameters(module).values()) count += parameter.size;
  return count;
}

/** Starting values for every parameter; each has a random stream of its own, forked by name. */
export function initialWeights(module: object, seed: number | string): Weights {
  const rng = new Rng(seed);
  const weights: Weights = new Map();
  for (const [name, parameter] of namedParameters(module)) {
    const data = new Float32Array(parameter.size);
    parameter.initialize(data, rng.fork(name));
    weights.set(name, data);
  }
  return weights;
}

/** Throws unless `weights` holds each parameter of the module in its size, and nothing else. */
export function requireWeights(module: object, weights: ReadonlyMap<string, Float32Array>): void {
  const parameters = namedParameters(module);
  for (const [name, parameter] of parameters) {
    const data = weights.get(name);
    if (!data) throw new ShapeError(`Weights: ${name} [${parameter.shape.join(", ")}] is missing`);
    if (data.length !== parameter.size) {
      throw new ShapeError(`Weights: ${name} must hold [${parameter.shape.join(", ")}], got ${data.length} values`);
    }
  }
  for (const name of weights.keys()) {
    if (!parameters.has(name)) throw new ShapeError(`Weights: the model has no parameter ${name}`);
  }
}

export const zeros: Initializer = () => {};

export const constantValue =
  (value: number): Initializer =>
  (data) => {
    data.fill(value);
  };

/** N(0, std²) cut off at two standard deviations. */
export const truncatedNormal =
  (std: number): Initializer =>
  (data, rng) => {
    for (let i = 0; i < data.length; i++) data[i] = rng.truncatedNormal(std);
  };

export const normal =
  (std: number): Initializer =>
  (data, rng) => {
    for (let i = 0; i < data.length; i++) data[i] = rng.normal(0, std);
  };
