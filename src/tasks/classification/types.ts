/** A label and how probable it is among the labels that were offered. */
export interface Prediction {
  readonly label: string;
  /** In [0, 1]; those of all labels sum to 1. */
  readonly probability: number;
}

/** The half of a model that class names need. */
export interface TextEmbedder {
  readonly fingerprint: string;
  readonly embedDim: number;
  /** The learnt factor on cosine similarities before the softmax. */
  readonly logitScale: number;
  embedTexts(texts: readonly string[]): Promise<Float32Array[]>;
}
