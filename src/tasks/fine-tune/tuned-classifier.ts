import { ShapeError } from "../../core/errors.ts";
import { type HeadInput, headLogits } from "./classifier-head.ts";

/** A classifier as a checkpoint folder holds it. */
export interface ClassifierContent {
  readonly classes: readonly string[];
  readonly scoring: "softmax" | "sigmoid";
  readonly input: HeadInput;
  readonly weights: ReadonlyMap<string, Float32Array>; // `weight` [K, inputs], `bias` [K]
}

/** Classifies pictures as a tuned model learnt to: no labels need be given. */
export class TunedClassifier {
  readonly classes: readonly string[];
  /** What of a picture {@link classify} takes: its embedding, or the features before the projection. */
  readonly input: HeadInput["kind"];
  readonly #content: ClassifierContent;
  readonly #weight: Float32Array;
  readonly #bias: Float32Array;

  constructor(content: ClassifierContent) {
    this.classes = content.classes;
    this.input = content.input.kind;
    this.#content = content;
    this.#weight = content.weights.get("weight") as Float32Array;
    this.#bias = content.weights.get("bias") as Float32Array;
  }

  /**
   * The classes of one picture, most probable first; probabilities sum to 1 unless each class stands by itself.
   *
   * @param features  [inputs], as {@link input} says
   * @throws          ShapeError if they are of another model
   */
  classify(features: Float32Array, top = this.classes.length): { label: string; probability: number }[] {
    const inputs = this.#weight.length / this.classes.length;
    if (features.length !== inputs) {
      throw new ShapeError(`TunedClassifier: needs ${inputs} features, got ${features.length}`);
    }
    const { input, scoring } = this.#content;
    const logits = Array.from(headLogits(features, this.#weight, this.#bias, input));
    const probabilities = scoring === "softmax" ? softmax(logits) : logits.map((z) => 1 / (1 + Math.exp(-z)));
    const predictions = this.classes.map((label, k) => ({ label, probability: probabilities[k] as number }));
    return predictions.sort((a, b) => b.probability - a.probability).slice(0, top);
  }
}

function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}
