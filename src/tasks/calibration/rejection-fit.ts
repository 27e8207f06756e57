import { ShapeError } from "../../core/errors.ts";
import { areaUnderRoc } from "../../metrics/roc.ts";
import { fitLogisticRegression } from "../logistic-regression.ts";
import { acceptanceScore, type RejectionMethod, type RejectionRule, type ScoredPicture } from "./acceptance-score.ts";
import type { LogitCorrection } from "./temperature.ts";

/** One picture that a calibration is fitted on. */
export interface CalibrationExample extends ScoredPicture {
  readonly label: number; // −1 = none of the labels
  /** Examples of one group are never parted by cross-validation, such as outside pictures of one kind. */
  readonly group?: string;
}

/** A rule fitted on all examples, and what rules fitted without an example's fold say of that example. */
export interface FittedRejection {
  readonly rule: RejectionRule;
  readonly known: readonly number[]; // acceptance scores of the labels' examples, in their order
  readonly unknown: readonly number[];
  readonly areaUnderRoc?: number; // over these scores, where there are both kinds
}

export const folds = 5;
const gateLambda = 0.3; // on embeddings brought to a mean of zero and a mean square of 1
const fewestOutside = 5;

/** Whether a method can be used on these examples. */
export function isAvailable(
  method: RejectionMethod,
  { backgrounds, outside }: { readonly backgrounds: number; readonly outside: number },
): boolean {
  if (method === "background-margin" || method === "background-share") return backgrounds > 0;
  return method !== "example-gate" || outside >= fewestOutside;
}

/**
 * Fits a way to reject. What is learned from examples scores those same examples too well, so thresholds and choices are
 * made by the scores of five folds, each by a rule that was fitted on the other four.
 */
export async function fitRejection(
  method: RejectionMethod,
  examples: readonly CalibrationExample[],
  correction: LogitCorrection,
  signal?: AbortSignal,
): Promise<FittedRejection> {
  const rule = await fitRule(method, examples, signal);
  const isLearned = method === "example-likeness" || method === "example-gate";
  const fold = foldsOf(examples);
  const scores = new Array<number>(examples.length);
  for (let held = 0; held < (isLearned ? folds : 1); held++) {
    const fitted = isLearned
      ? await fitRule(
          method,
          examples.filter((_, i) => fold[i] !== held),
          signal,
        )
      : rule;
    for (const [i, example] of examples.entries()) {
      if (!isLearned || fold[i] === held) scores[i] = acceptanceScore(fitted, example, correction);
    }
  }
  const of = (isKnown: boolean) => scores.filter((_, i) => examples[i].label >= 0 === isKnown);
  const [known, unknown] = [of(true), of(false)];
  const truth = [...known.map(() => 1), ...unknown.map(() => 0)];
  const both = known.length > 0 && unknown.length > 0;
  return { rule, known, unknown, ...(both && { areaUnderRoc: areaUnderRoc([...known, ...unknown], truth) }) };
}

/** The fold of each example: labels and outside pictures dealt out in turn, each kind by itself, groups as wholes. */
function foldsOf(examples: readonly CalibrationExample[]): number[] {
  const places = { known: new Map<string, number>(), unknown: new Map<string, number>() };
  const groups = new Set(examples.flatMap(({ label, group }) => (label < 0 && group !== undefined ? [group] : [])));
  return examples.map(({ label, group }, i) => {
    const seen = label < 0 ? places.unknown : places.known;
    // One group alone cannot be both learned from and held out.
    const key = group !== undefined && groups.size > 1 && label < 0 ? group : `picture ${i}`;
    const place = seen.get(key) ?? seen.size;
    seen.set(key, place);
    return place % folds;
  });
}

async function fitRule(
  method: RejectionMethod,
  examples: readonly CalibrationExample[],
  signal: AbortSignal | undefined,
): Promise<RejectionRule> {
  if (method === "example-likeness") return { method, means: classMeans(examples) };
  return method === "example-gate" ? fitGate(examples, signal) : { method };
}

/** The mean embedding of every class that has an example, brought to length 1. */
function classMeans(examples: readonly CalibrationExample[]): number[][] {
  const sums = new Map<number, number[]>();
  for (const { label, embedding } of examples) {
    if (label < 0) continue;
    const sum = sums.get(label) ?? new Array<number>(embedding.length).fill(0);
    for (let i = 0; i < sum.length; i++) sum[i] += embedding[i];
    sums.set(label, sum);
  }
  return [...sums].sort(([a], [b]) => a - b).map(([, sum]) => sum.map((value) => rounded(value / norm(sum))));
}

const norm = (vector: readonly number[]) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)) || 1;

/** Embeddings centred and scaled as a whole, so that one λ suits every model; both are folded into the weights. */
async function fitGate(
  examples: readonly CalibrationExample[],
  signal: AbortSignal | undefined,
): Promise<RejectionRule> {
  const dim = examples[0]?.embedding.length ?? 0;
  const outside = examples.reduce((count, { label }) => count + Number(label < 0), 0);
  if (outside === 0 || outside === examples.length) {
    throw new ShapeError(`Gate: needs examples of the labels and outside, got ${outside} outside.`);
  }
  const mean = new Float64Array(dim);
  for (const { embedding } of examples) for (let i = 0; i < dim; i++) mean[i] += embedding[i] / examples.length;
  const squares = examples.reduce((sum, { embedding }) => {
    for (let i = 0; i < dim; i++) sum += (embedding[i] - mean[i]) ** 2;
    return sum;
  }, 0);
  const spread = Math.sqrt(squares / examples.length) || 1;
  const features = new Float32Array(examples.length * dim);
  for (const [row, { embedding }] of examples.entries()) {
    for (let i = 0; i < dim; i++) features[row * dim + i] = (embedding[i] - mean[i]) / spread;
  }
  const labels = examples.map(({ label }) => Number(label >= 0));
  const { classifier } = await fitLogisticRegression(
    { features, dim },
    { kind: "one", labels, classes: 2 },
    { lambda: gateLambda, ...(signal && { signal }) },
  );
  const { weights: both, bias } = classifier;
  // The second class's score less the first's is the log-odds of one of the labels.
  const weights = Array.from({ length: dim }, (_, i) => rounded((both[dim + i] - both[i]) / spread));
  return {
    method: "example-gate",
    weights,
    bias: rounded(bias[1] - bias[0] - weights.reduce((sum, weight, i) => sum + weight * mean[i], 0)),
  };
}

/** Seven digits, as float32 has them: files stay small, and read back to the very same rule. */
const rounded = (value: number) => Number(value.toPrecision(7));
