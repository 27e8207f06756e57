import { ShapeError } from "../core/errors.ts";
import { add, mul, sum } from "../graph/broadcasting.ts";
import { cast, equal, exp, neg, sigmoid, softplus, sub } from "../graph/elementwise.ts";
import { matmul } from "../graph/matrix.ts";
import { logSoftmax } from "../graph/softmax.ts";
import { constant, input, type Tensor } from "../graph/tensor.ts";
import { compile, type FeedData, type Program } from "../runtime/program.ts";
import type { Evaluation } from "./lbfgs.ts";

/** Numbers for each example, row after row. */
export interface FeatureRows {
  readonly features: Float32Array; // [N, dim]
  readonly dim: number;
}

/**
 * What a linear classifier is to learn.
 *
 * - `one`: every example has one of the classes, which compete in a softmax.
 * - `several`: any number of classes an example, each judged by itself (one against the rest).
 */
export type Targets =
  | { readonly kind: "one"; readonly labels: ArrayLike<number>; readonly classes: number } // [N], in [0, classes)
  | { readonly kind: "several"; readonly truth: Uint8Array; readonly classes: number }; // [N, classes], 0 or 1

/** One run of the program: at most this many examples, so that a chunk's logits stay in the processor's cache. */
const chunkRows = 4096;

/** Bytes of features up to which a transposed copy is kept: it makes the gradient's product two to four times faster. */
const largestCopy = 2 ** 30;

/** ONNX Runtime's products with few columns run at full speed from 16 on, so narrow outputs are padded. */
const columnStep = 16;

/** A padded column's bias: its exponential is 0, so it takes part in nothing. */
const silentBias = -1e9;

/**
 * Loss and gradient of L2-regularised logistic regression, scikit-learn's objective over the number of examples:
 * (Σ loss + λ/2 ‖W‖²) / N, with λ = 1/C and the biases free. With two classes that compete, one column of weights
 * scores the second class against the first. Products run in float32 by ONNX Runtime, chunk by chunk; sums over chunks
 * and examples are float64.
 *
 * Parameters: [dim × columns] weights, row after row, then [columns] biases.
 */
export class LogisticObjective {
  readonly dim: number;
  readonly columns: number;
  readonly examples: number;
  readonly #program: Program;
  readonly #chunks: readonly Readonly<Record<string, FeedData>>[];
  readonly #padded: number;

  private constructor(shape: ProgramShape, program: Program, rows: FeatureRows, targets: Targets) {
    this.dim = rows.dim;
    this.columns = columnsOf(targets);
    this.examples = rows.features.length / rows.dim;
    this.#program = program;
    this.#padded = shape.columns;
    const starts = Array.from({ length: Math.ceil(this.examples / shape.rows) }, (_, i) => i * shape.rows);
    this.#chunks = starts.map((start) => chunkFeeds(shape, rows, targets, start));
  }

  /**
   * Compiles the program and lays out the data; call `dispose` at the end.
   *
   * @param program  of an earlier objective with as many examples, dimensions and columns, to be used again
   * @throws ShapeError if features and targets do not fit each other
   */
  static async create(
    rows: FeatureRows,
    targets: Targets,
    { threads, program }: { threads?: number; program?: Program } = {},
  ): Promise<LogisticObjective> {
    const examples = checkExamples(rows, targets);
    const shape: ProgramShape = {
      rows: Math.ceil(examples / Math.ceil(examples / chunkRows)),
      dim: rows.dim,
      columns: Math.ceil(columnsOf(targets) / columnStep) * columnStep,
      isSoftmax: targets.kind === "one" && targets.classes > 2,
      isTransposed: rows.features.byteLength <= largestCopy,
    };
    const compiled = program ?? (await compile({ outputs: logisticGraph(shape), ...(threads ? { threads } : {}) }));
    return new LogisticObjective(shape, compiled, rows, targets);
  }

  get program(): Program {
    return this.#program;
  }

  get parameterCount(): number {
    return (this.dim + 1) * this.columns;
  }

  /** Value and gradient at `parameters` [parameterCount] with L2 strength `lambda` = 1/C. */
  async evaluate(parameters: Float64Array, lambda: number): Promise<Evaluation> {
    const { dim, columns, examples } = this;
    const weights = new Float32Array(dim * this.#padded);
    const bias = new Float32Array(this.#padded).fill(silentBias);
    for (let d = 0; d <= dim; d++) {
      const row = parameters.subarray(d * columns, (d + 1) * columns);
      if (d < dim) weights.set(row, d * this.#padded);
      else bias.set(row);
    }
    const gradient = new Float64Array(parameters.length);
    let total = 0;
    for (const chunk of this.#chunks) {
      const results = await this.#program.run({ ...chunk, weights, bias });
      for (const loss of results.losses as Float32Array) total += loss;
      this.#addGradient(gradient, results.weightGradient as Float32Array, results.biasGradient as Float32Array);
    }
    let penalty = 0;
    for (let i = 0; i < gradient.length; i++) {
      gradient[i] /= examples;
      if (i >= dim * columns) continue;
      penalty += parameters[i] * parameters[i];
      gradient[i] += (lambda / examples) * parameters[i];
    }
    return { value: (total + (lambda / 2) * penalty) / examples, gradient };
  }

  async dispose(): Promise<void> {
    await this.#program.dispose();
  }

  #addGradient(gradient: Float64Array, ofWeights: Float32Array, ofBias: Float32Array): void {
    const { dim, columns } = this;
    for (let d = 0; d <= dim; d++) {
      const source = d < dim ? ofWeights : ofBias;
      const offset = d < dim ? d * this.#padded : 0;
      for (let k = 0; k < columns; k++) gradient[d * columns + k] += source[offset + k];
    }
  }
}

interface ProgramShape {
  readonly rows: number;
  readonly dim: number;
  readonly columns: number; // padded
  readonly isSoftmax: boolean;
  readonly isTransposed: boolean;
}

/** Columns of weights that the targets ask for. */
export function columnsOf(targets: Targets): number {
  return targets.kind === "one" && targets.classes === 2 ? 1 : targets.classes;
}

/** Losses [rows] and the gradients' sums over one chunk. `counted` is 1 for an example, 0 for padding. */
function logisticGraph({ rows, dim, columns, isSoftmax, isTransposed }: ProgramShape): Record<string, Tensor> {
  const features = input("features", [rows, dim]);
  const counted = input("counted", [rows, 1]);
  const logits = add(matmul(features, input("weights", [dim, columns])), input("bias", [columns]));
  let losses: Tensor;
  let residuals: Tensor; // derivative by the logits
  if (isSoftmax) {
    const classes = Int32Array.from({ length: columns }, (_, k) => k);
    const truth = cast(equal(input("labels", [rows, 1], "int32"), constant(classes, [1, columns])), "float32");
    const logProbabilities = logSoftmax(logits);
    losses = neg(sum(mul(logProbabilities, truth), -1, true));
    residuals = sub(exp(logProbabilities), truth);
  } else {
    const truth = cast(input("truth", [rows, columns], "uint8"), "float32");
    losses = sum(softplus(mul(logits, sub(1, mul(truth, 2)))), -1, true); // log(1 + e^∓z), of the wrong answer
    residuals = sub(sigmoid(logits), truth);
  }
  const weighted = mul(residuals, counted);
  const weightGradient = isTransposed
    ? matmul(input("featuresTransposed", [dim, rows]), weighted)
    : matmul(features, weighted, { transposeA: true });
  return { losses: mul(losses, counted), weightGradient, biasGradient: sum(weighted, 0) };
}

function chunkFeeds(
  { rows, dim, columns, isSoftmax, isTransposed }: ProgramShape,
  { features }: FeatureRows,
  targets: Targets,
  start: number,
): Record<string, FeedData> {
  const count = Math.min(rows, features.length / dim - start);
  let chunk = features.subarray(start * dim, (start + count) * dim);
  if (count < rows) {
    const padded = new Float32Array(rows * dim);
    padded.set(chunk);
    chunk = padded;
  }
  const feeds: Record<string, FeedData> = { features: chunk, counted: new Float32Array(rows).fill(1, 0, count) };
  if (isTransposed) feeds.featuresTransposed = transposed(chunk, rows, dim);
  if (isSoftmax) {
    const labels = (targets as { labels: ArrayLike<number> }).labels;
    feeds.labels = Int32Array.from({ length: rows }, (_, i) => (i < count ? labels[start + i] : 0));
  } else {
    const truth = new Uint8Array(rows * columns);
    const width = columnsOf(targets);
    for (let i = 0; i < count; i++) {
      if (targets.kind === "one") truth[i * columns] = targets.labels[start + i];
      else truth.set(targets.truth.subarray((start + i) * width, (start + i + 1) * width), i * columns);
    }
    feeds.truth = truth;
  }
  return feeds;
}

/** [rows, columns] → [columns, rows], in tiles that fit the cache. */
function transposed(source: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(source.length);
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let column = left; column < right; column++) {
        for (let row = top; row < bottom; row++) result[column * rows + row] = source[row * columns + column];
      }
    }
  }
  return result;
}

function checkExamples({ features, dim }: FeatureRows, targets: Targets): number {
  const examples = features.length / dim;
  if (!Number.isInteger(dim) || dim < 1 || !Number.isInteger(examples) || examples < 1) {
    throw new ShapeError(
      `Logistic regression: features must be [N, ${dim}] with N > 0, got ${features.length} values.`,
    );
  }
  const { kind, classes } = targets;
  const values = kind === "one" ? targets.labels : targets.truth;
  const wanted = kind === "one" ? examples : examples * classes;
  if (!Number.isInteger(classes) || classes < (kind === "one" ? 2 : 1) || values.length !== wanted) {
    const got = `${values.length} targets of ${classes} classes`;
    throw new ShapeError(`Logistic regression: needs ${wanted} targets for ${examples} examples, got ${got}.`);
  }
  const limit = kind === "one" ? classes : 2;
  for (let i = 0; i < wanted; i++) {
    const value = values[i];
    if (!Number.isInteger(value) || value < 0 || value >= limit) {
      throw new ShapeError(`Logistic regression: targets must be integers in [0, ${limit}), got ${value} at ${i}.`);
    }
  }
  return examples;
}
