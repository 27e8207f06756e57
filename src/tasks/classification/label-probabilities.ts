import { ShapeError } from "../../core/errors.ts";
import type { Scoring } from "../../core/scoring.ts";
import type { Prediction } from "./types.ts";

/** A linear classifier whose weights are the embeddings of class names. */
export class ZeroShotClassifier {
  readonly labels: readonly string[];
  readonly embedDim: number;
  readonly #classes: Float32Array; // [labels, embedDim], unit rows
  readonly #logitScale: number;
  readonly #scoring: Scoring;

  constructor(
    labels: readonly string[],
    classes: Float32Array,
    logitScale: number,
    scoring: Scoring = { kind: "softmax" },
  ) {
    if (labels.length === 0 || classes.length % labels.length !== 0) {
      throw new ShapeError(`ZeroShotClassifier: a row a label, got ${labels.length} labels, ${classes.length} numbers`);
    }
    this.labels = labels;
    this.embedDim = classes.length / labels.length;
    this.#classes = classes;
    this.#logitScale = logitScale;
    this.#scoring = scoring;
  }

  /** The score of every label before it becomes a probability, in label order: logitScale · cosine. */
  logits(imageEmbedding: Float32Array): Float64Array {
    if (imageEmbedding.length !== this.embedDim) {
      throw new ShapeError(`classify: an embedding has ${this.embedDim} numbers, got ${imageEmbedding.length}`);
    }
    const logits = new Float64Array(this.labels.length);
    for (let label = 0; label < logits.length; label++) {
      let cosine = 0;
      const offset = label * this.embedDim;
      for (let i = 0; i < this.embedDim; i++) cosine += this.#classes[offset + i] * imageEmbedding[i];
      logits[label] = this.#logitScale * cosine;
    }
    return logits;
  }

  /**
   * The probability of every label, in label order: the softmax of logitScale · cosine, which sums to 1, or the sigmoid
   * of each with the bias added.
   */
  probabilities(imageEmbedding: Float32Array): Float64Array {
    const logits = this.logits(imageEmbedding);
    return this.#scoring.kind === "softmax" ? softmax(logits) : sigmoid(logits, this.#scoring.bias);
  }

  /** The `top` most probable labels, best first; equal ones in label order. */
  classify(imageEmbedding: Float32Array, top = this.labels.length): Prediction[] {
    return rankLabels(this.labels, this.probabilities(imageEmbedding), top);
  }
}

/** The `top` most probable labels, best first; equal ones in label order. */
export function rankLabels(labels: readonly string[], probabilities: ArrayLike<number>, top: number): Prediction[] {
  const predictions = labels.map((label, i) => ({ label, probability: probabilities[i] }));
  return predictions.sort((a, b) => b.probability - a.probability).slice(0, top);
}

function sigmoid(logits: Float64Array, bias: number): Float64Array {
  return logits.map((logit) => 1 / (1 + Math.exp(-(logit + bias))));
}

function softmax(logits: Float64Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}
