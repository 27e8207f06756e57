import type { RgbImage } from "../core/image.ts";
import type { Scoring } from "../core/scoring.ts";

/** A loaded two-tower model, ready for inference: what every command, task and route is written against. */
export interface FlorenceModel {
  /** The name it was asked for by, or that its checkpoint gives. */
  readonly name: string;
  /** SHA-256 over weights, preprocessing and tokenizer, in hex. Artefacts of different fingerprints never mix. */
  readonly fingerprint: string;
  /** Length of every embedding. */
  readonly embedDim: number;
  /** The learnt factor on cosine similarities (not its logarithm). */
  readonly logitScale: number;
  /** How scaled similarities become probabilities. */
  readonly scoring: Scoring;
  /** Length of an image's features. */
  readonly featureDim: number;
  /** What the image encoder gives before the projection, not normalised: what linear probes learn from. */
  imageFeatures(images: readonly RgbImage[]): Promise<Float32Array[]>;
  /** L2-normalised embeddings, one an image, in order. */
  embedImages(images: readonly RgbImage[]): Promise<Float32Array[]>;
  /** L2-normalised embeddings, one a text, in order. */
  embedTexts(texts: readonly string[]): Promise<Float32Array[]>;
  /** Frees the native sessions; the model is unusable afterwards. */
  dispose(): Promise<void>;
}

/** Loads a bundled model by name or a checkpoint folder by path, for pictures of another size if one is asked for. */
export type ModelLoader = (
  nameOrDirectory: string,
  options?: { readonly imageSize?: number | undefined },
) => Promise<FlorenceModel>;
