import { UserError } from "../core/errors.ts";
import type { StoredTensor } from "../io/safetensors.ts";

/**
 * The tensors of another program's checkpoint, to be taken one by one: each in the shape our model needs, and none left
 * over, so that a mismatch is found while its name is known.
 */
export class ForeignTensors {
  readonly #tensors: ReadonlyMap<string, StoredTensor>;
  readonly #path: string;
  readonly #taken = new Set<string>();

  /** @param path  what errors name: the file or folder of the weights */
  constructor(tensors: ReadonlyMap<string, StoredTensor>, path: string) {
    this.#tensors = tensors;
    this.#path = path;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The shape of a tensor, for sizes that no configuration states. @throws UserError `mismatch` if it is missing */
  shapeOf(name: string): readonly number[] {
    return this.#get(name, "").shape;
  }

  /** Values of a tensor that must have this shape. @throws UserError `mismatch` naming the tensor and both shapes */
  take(name: string, shape: readonly number[]): Float32Array {
    const tensor = this.#get(name, ` [${shape.join(", ")}]`);
    if (tensor.shape.join() !== shape.join()) {
      const got = `[${tensor.shape.join(", ")}]`;
      throw new UserError("mismatch", `${this.#path}: ${name} must be [${shape.join(", ")}], got ${got}.`);
    }
    this.#taken.add(name);
    return tensor.data;
  }

  /** Takes a tensor that holds no weights but must be what we compute. @throws UserError `mismatch` naming the first other value */
  requireValues(name: string, shape: readonly number[], expected: ArrayLike<number>): void {
    const stored = this.take(name, shape);
    const at = stored.findIndex((value, i) => value !== expected[i]);
    if (at < 0) return;
    throw new UserError("mismatch", `${this.#path}: ${name} must have ${expected[at]} at ${at}, got ${stored[at]}.`);
  }

  /** Several tensors one after the other, as rows of one. */
  takeJoined(names: readonly string[], shape: readonly number[]): Float32Array {
    const parts = names.map((name) => this.take(name, shape));
    const joined = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  /** A matrix stored as [rows, columns], as [columns, rows]. */
  takeTransposed(name: string, [rows, columns]: readonly [number, number]): Float32Array {
    const stored = this.take(name, [rows, columns]);
    const turned = new Float32Array(stored.length);
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = stored[r * columns + c];
    return turned;
  }

  /** Throws if a tensor was not taken, except those that `ignored` says hold no weights (buffers of positions and masks). */
  finish(ignored?: RegExp): void {
    for (const name of this.#tensors.keys()) {
      if (this.#taken.has(name) || ignored?.test(name)) continue;
      throw new UserError("mismatch", `${this.#path}: ${name} must not be there, the model has no such parameter.`);
    }
  }

  #get(name: string, shape: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new UserError("mismatch", `${this.#path}: must hold ${name}${shape}, it is missing.`);
  }
}
