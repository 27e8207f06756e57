import { ShapeError } from "../core/errors.ts";
import { linear } from "../graph/matrix.ts";
import { input } from "../graph/tensor.ts";
import { compile } from "../runtime/program.ts";
import type { FeatureRows } from "./logistic-objective.ts";

/** A score for each class: the dot product with its row of weights, plus its bias. */
export interface ScoringWeights {
  readonly weights: Float32Array; // [classes, dim]
  readonly bias?: Float32Array; // [classes], zeros if left out
}

export interface ScoreRowsOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (rowsDone: number) => void;
}

const rowsPerRun = 4096;

/**
 * Scores many rows against many classes with ONNX Runtime's matrix product: a linear classifier's logits, or the
 * cosines of embeddings with class embeddings where both are L2-normalised.
 *
 * @returns [N, classes], row after row
 * @throws  ShapeError if the sizes do not fit; the signal's reason when aborted
 */
export async function scoreRows(
  { features, dim }: FeatureRows,
  { weights, bias }: ScoringWeights,
  { threads, signal, onProgress }: ScoreRowsOptions = {},
): Promise<Float32Array> {
  const [count, classes] = [features.length / dim, weights.length / dim];
  if (!Number.isInteger(count) || !Number.isInteger(classes) || classes < 1 || (bias && bias.length !== classes)) {
    const got = `${features.length} features, ${weights.length} weights, ${bias?.length ?? "no"} biases`;
    throw new ShapeError(`Scores: must be [N, ${dim}] features, [K, ${dim}] weights and K biases, got ${got}.`);
  }
  const scores = new Float32Array(count * classes);
  if (count === 0) return scores;
  const rows = Math.min(rowsPerRun, count);
  const logits = linear(input("features", [rows, dim]), input("weights", [classes, dim]), input("bias", [classes]));
  const program = await compile({ outputs: { logits }, ...(threads ? { threads } : {}) });
  try {
    const fixed = { weights, bias: bias ?? new Float32Array(classes) };
    for (let start = 0; start < count; start += rows) {
      signal?.throwIfAborted();
      // The last run goes over some rows again rather than over padding.
      const from = Math.min(start, count - rows);
      const run = await program.run({ ...fixed, features: features.subarray(from * dim, (from + rows) * dim) });
      scores.set(run.logits as Float32Array, from * classes);
      onProgress?.(from + rows);
    }
  } finally {
    await program.dispose();
  }
  return scores;
}
