import { UserError } from "../core/errors.ts";
import type { WeightTensor } from "../io/safetensors.ts";

/** Named arrays with their shapes: weights, or the state of an optimiser. */
export type TensorMap = ReadonlyMap<string, WeightTensor>;

/** What one update did. */
export interface UpdateReport {
  /** L2 norm over all gradients, before clipping. */
  readonly gradientNorm: number;
  /** The factor applied to every gradient, 1 when nothing was clipped. */
  readonly clipScale: number;
  /** False when a gradient holds NaN or infinity; then nothing was changed, not even the step count. */
  readonly applied: boolean;
  /** Milliseconds of the update spent inside ONNX Runtime, if any. */
  readonly engineMs?: number;
}

/** An update rule over a fixed set of named parameters, which it changes in place. */
export interface Optimizer {
  /** Updates applied so far. */
  readonly steps: number;
  /** One update from `gradients`, one per parameter, at `learningRate`. */
  step(gradients: ReadonlyMap<string, Float32Array>, learningRate: number): UpdateReport | Promise<UpdateReport>;
  /** The live state by name; not a copy. Together with `steps` it is all that `restore` needs. */
  state(): TensorMap;
  /** Takes over the values of a saved state. Names and shapes must be exactly those of `state()`. */
  restore(state: TensorMap, steps: number): void;
}

/**
 * Whether weight decay should leave a parameter alone: biases, norm gains and scalars (at most one axis), and by name
 * position tables, token and class embeddings and the logit scale. Any naming style: `token_embedding.weight`,
 * `image.positionBias`, `relative_position_bias_table`.
 */
export function exemptFromDecay(name: string, shape: readonly number[]): boolean {
  if (shape.length <= 1) return true;
  return /position|posembed|(token|word|class)s?embed|(class|cls)token|logitscale/.test(normaliseName(name));
}

function normaliseName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}

/**
 * L2 norm of all `gradients` together, summed in float64 in the map's order. NaN or infinite if any element is.
 */
export function globalNorm(gradients: Iterable<Float32Array>): number {
  let total = 0;
  for (const gradient of gradients) total += sumOfSquares(gradient);
  return Math.sqrt(total);
}

/** Four running sums, because one would make every addition wait for the last. */
function sumOfSquares(values: Float32Array): number {
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
  const whole = values.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    const a = values[i];
    const b = values[i + 1];
    const c = values[i + 2];
    const d = values[i + 3];
    sum0 += a * a;
    sum1 += b * b;
    sum2 += c * c;
    sum3 += d * d;
  }
  for (let i = whole; i < values.length; i++) sum0 += values[i] * values[i];
  return sum0 + sum1 + (sum2 + sum3);
}

/**
 * Copies `source` into `target` in place. `subject` opens the messages.
 *
 * @throws UserError (mismatch) naming a missing, extra or misshapen tensor; nothing is copied then
 */
export function copyTensors(target: TensorMap, source: TensorMap, subject: string): void {
  for (const [name, { shape }] of target) {
    const given = source.get(name);
    if (!given) throw new UserError("mismatch", `${subject}: every tensor must be there, got none named "${name}".`);
    if (given.shape.join() !== shape.join()) {
      throw new UserError("mismatch", `${subject}: "${name}" must have shape [${shape}], got [${given.shape}].`);
    }
  }
  for (const name of source.keys()) {
    if (!target.has(name)) throw new UserError("mismatch", `${subject}: no tensor may be left over, got "${name}".`);
  }
  for (const [name, { data }] of target) data.set((source.get(name) as WeightTensor).data);
}
