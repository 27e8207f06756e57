import { ShapeError } from "../core/errors.ts";
import type { LogitBlock } from "./class-logits.ts";
import { totalLogLoss } from "./probe-fit.ts";

/** The factors of two classifiers' log-probabilities. */
export interface BlendWeights {
  readonly first: number;
  readonly second: number;
}

const grid = [0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.4];

/**
 * The factors that make the true classes likeliest, from a grid, with a pull of one example's weight towards one half
 * each: a handful of examples must not switch a classifier off.
 */
export async function bestBlend(
  first: AsyncIterable<LogitBlock>,
  second: AsyncIterable<LogitBlock>,
  labels: Int32Array,
  classes: number,
): Promise<BlendWeights> {
  const [one, other] = [await collectLogProbabilities(first, classes), await collectLogProbabilities(second, classes)];
  if (one.length !== labels.length * classes || other.length !== one.length) {
    throw new ShapeError(`Blend: logits must be [${labels.length}, ${classes}], got ${one.length} and ${other.length}`);
  }
  let best: BlendWeights & { readonly cost: number } = { first: 0.5, second: 0.5, cost: Number.POSITIVE_INFINITY };
  const mixed = new Float32Array(one.length);
  for (const a of grid) {
    for (const b of grid) {
      for (let i = 0; i < mixed.length; i++) mixed[i] = a * one[i] + b * other[i];
      const pull = (a - 0.5) ** 2 + (b - 0.5) ** 2;
      const cost = totalLogLoss(mixed, { kind: "one", labels, classes }) + pull;
      if (cost < best.cost) best = { first: a, second: b, cost };
    }
  }
  return { first: best.first, second: best.second };
}

/** The weighted sum of both classifiers' log-probabilities, block by block. Both must give blocks of the same rows. */
export async function* blendLogits(
  first: AsyncIterable<LogitBlock>,
  second: AsyncIterable<LogitBlock>,
  classes: number,
  weights: BlendWeights,
): AsyncGenerator<LogitBlock> {
  const others = rowsOf(second, classes);
  try {
    for await (const { start, logits } of first) {
      const blended = logSoftmaxRows(logits, classes);
      for (let row = 0; row < blended.length; row += classes) {
        const next = await others.next();
        if (next.done)
          throw new ShapeError("Blend: both classifiers must score the same rows, got fewer of the second.");
        for (let c = 0; c < classes; c++) {
          blended[row + c] = weights.first * blended[row + c] + weights.second * next.value[c];
        }
      }
      yield { start, logits: blended };
    }
  } finally {
    await others.return(undefined);
  }
}

async function* rowsOf(blocks: AsyncIterable<LogitBlock>, classes: number): AsyncGenerator<Float32Array> {
  for await (const { logits } of blocks) {
    const normalised = logSoftmaxRows(logits, classes);
    for (let row = 0; row < normalised.length; row += classes) yield normalised.subarray(row, row + classes);
  }
}

async function collectLogProbabilities(blocks: AsyncIterable<LogitBlock>, classes: number): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for await (const { logits } of blocks) parts.push(logSoftmaxRows(logits, classes));
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function logSoftmaxRows(logits: Float32Array, classes: number): Float32Array {
  const result = logits.slice();
  for (let start = 0; start < result.length; start += classes) {
    const row = result.subarray(start, start + classes);
    const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const logSum = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    for (let c = 0; c < classes; c++) row[c] -= logSum;
  }
  return result;
}
