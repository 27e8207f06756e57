import { ShapeError } from "../../core/errors.ts";
import { correctedProbabilities, type LogitCorrection } from "./temperature.ts";

/**
 * What tells a picture of one of the labels from a picture of none, higher = more likely one of them.
 *
 * - `max-probability`: of the best label after the correction (Hendrycks and Gimpel, arXiv:1610.02136)
 * - `max-logit`: of the best label: its cosine times the model's logit scale
 * - `energy`: log Σ e^logit over the labels (Liu et al., arXiv:2010.03759)
 * - `background-margin`: the best label's logit less that of the best background prompt
 * - `background-share`: the labels' share of Σ e^logit over labels and background prompts, as a log-odds, each side a mean so
 *   that long lists do not win by their length (after Jiang et al., arXiv:2403.20078)
 * - `example-likeness`: cosine with the nearest class mean of the labelled examples' embeddings
 * - `example-gate`: a logistic regression that tells the labelled examples' embeddings from those of outside examples
 */
export const rejectionMethods = [
  "max-probability",
  "max-logit",
  "energy",
  "background-margin",
  "background-share",
  "example-likeness",
  "example-gate",
] as const;
export type RejectionMethod = (typeof rejectionMethods)[number];

/** A method with what it learned from examples. */
export type RejectionRule =
  | { readonly method: Exclude<RejectionMethod, "example-likeness" | "example-gate"> }
  | { readonly method: "example-likeness"; readonly means: readonly (readonly number[])[] } // unit vectors [D]
  | { readonly method: "example-gate"; readonly weights: readonly number[]; readonly bias: number }; // [D]

/** A picture as acceptance scores see it. */
export interface ScoredPicture {
  readonly logits: ArrayLike<number>; // [classes + backgrounds]: of every label, then of every background prompt
  readonly embedding: ArrayLike<number>; // [D], of length 1
}

/** The acceptance score of one picture. @throws ShapeError if the rule needs what the picture does not have */
export function acceptanceScore(
  rule: RejectionRule,
  { logits, embedding }: ScoredPicture,
  correction: LogitCorrection,
): number {
  const classes = correction.bias.length;
  const ofLabels = Array.from({ length: classes }, (_, i) => logits[i]);
  switch (rule.method) {
    case "max-probability":
      return largest(correctedProbabilities(logits, correction));
    case "max-logit":
      return largest(ofLabels);
    case "energy":
      return logSumExp(ofLabels);
    case "background-margin":
      return largest(ofLabels) - largest(backgroundsOf(logits, classes));
    case "background-share": {
      const backgrounds = backgroundsOf(logits, classes);
      return logSumExp(ofLabels) - Math.log(classes) - logSumExp(backgrounds) + Math.log(backgrounds.length);
    }
    case "example-likeness":
      return largest(rule.means.map((mean) => dot(mean, embedding)));
    case "example-gate":
      return dot(rule.weights, embedding) + rule.bias;
  }
}

function backgroundsOf(logits: ArrayLike<number>, classes: number): number[] {
  if (logits.length > classes) return Array.from({ length: logits.length - classes }, (_, i) => logits[classes + i]);
  throw new ShapeError("Rejection: needs a background prompt, got none.");
}

function dot(vector: readonly number[], embedding: ArrayLike<number>): number {
  if (vector.length !== embedding.length) {
    throw new ShapeError(`Rejection: needs an embedding of ${vector.length} numbers, got ${embedding.length}.`);
  }
  return vector.reduce((sum, value, i) => sum + value * embedding[i], 0);
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}

function logSumExp(values: readonly number[]): number {
  const most = largest(values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}
