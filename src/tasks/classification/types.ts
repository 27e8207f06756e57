import type { Scoring } from "../../core/scoring.ts";

/** A label and how probable it is, as its model scores: among the labels that were offered, or by itself. */
export interface Prediction {
  readonly label: string;
  /** In [0, 1]; those of all labels sum to 1 where the model scores by softmax. */
  readonly probability: number;
}

/** Makes probabilities of logits in a way of its own, and may find that none of the labels fits. */
export type LogitJudge = (
  logits: Float64Array,
  embedding: Float32Array,
) => {
  /** Of the first labels; the classifier may score more texts than there are probabilities. */
  readonly probabilities: ArrayLike<number>;
  readonly rejection?: { readonly score: number; readonly rejected: boolean };
};

/** The half of a model that class names need. */
export interface TextEmbedder {
  readonly fingerprint: string;
  readonly embedDim: number;
  /** The learnt factor on cosine similarities. */
  readonly logitScale: number;
  /** How scaled similarities become probabilities; softmax if left out. */
  readonly scoring?: Scoring;
  embedTexts(texts: readonly string[]): Promise<Float32Array[]>;
}
