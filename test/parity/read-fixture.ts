import { fileURLToPath } from "node:url";
import { readSafetensors, type StoredTensor } from "../../src/io/safetensors.ts";

/** A fixture's tensors, and its metadata by key; `json` parses one metadata value. */
export interface Fixture {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  tensor(name: string): StoredTensor;
  json<Value>(key: string): Value;
}

/** Reads `test/fixtures/<name>.safetensors`; a tensor or key that it lacks is an error that names it. */
export async function readFixture(name: string): Promise<Fixture> {
  const path = fileURLToPath(new URL(`../fixtures/${name}.safetensors`, import.meta.url));
  const { tensors, metadata } = await readSafetensors(path);
  return {
    tensors,
    tensor(key) {
      const tensor = tensors.get(key);
      if (tensor === undefined) throw new Error(`${name}: the fixture has no tensor "${key}".`);
      return tensor;
    },
    json(key) {
      if (!(key in metadata)) throw new Error(`${name}: the fixture has no metadata "${key}".`);
      return JSON.parse(metadata[key]);
    },
  };
}

/** The norm of the difference over the norm of the reference, the measure of every parity tolerance. */
export function relativeError(values: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (values.length !== reference.length) {
    throw new Error(`relativeError: lengths must agree, got ${values.length} and ${reference.length}.`);
  }
  let difference = 0;
  let size = 0;
  for (let i = 0; i < reference.length; i++) {
    difference += (values[i] - reference[i]) ** 2;
    size += reference[i] ** 2;
  }
  if (size === 0) return Math.sqrt(difference);
  return Math.sqrt(difference / size);
}

/** A gradient's norm, sum and first eight elements (padded with 0): what the fixtures of full-size models store. */
export function summarizeGradient(gradient: ArrayLike<number>): number[] {
  let squares = 0;
  let sum = 0;
  for (let i = 0; i < gradient.length; i++) {
    squares += gradient[i] ** 2;
    sum += gradient[i];
  }
  return [Math.sqrt(squares), sum, ...Array.from({ length: 8 }, (_, i) => (i < gradient.length ? gradient[i] : 0))];
}

/**
 * How far a gradient of `count` elements is from a stored summary, each part on the scale that a relative error of the
 * whole gradient gives it: the sum against √count · norm, the first elements against their norm or their expected share.
 */
export function summaryError(gradient: ArrayLike<number>, reference: ArrayLike<number>): number {
  const count = gradient.length;
  const summary = summarizeGradient(gradient);
  const norm = Math.max(reference[0], 1e-300);
  let difference = 0;
  let size = 0;
  for (let i = 2; i < 10; i++) {
    difference += (summary[i] - reference[i]) ** 2;
    size += reference[i] ** 2;
  }
  return Math.max(
    Math.abs(summary[0] - reference[0]) / norm,
    Math.abs(summary[1] - reference[1]) / (norm * Math.sqrt(count)),
    Math.sqrt(difference) / Math.max(Math.sqrt(size), norm * Math.sqrt(Math.min(8, count) / count)),
  );
}
