import type { EncoderLevel } from "../core/encoder-level.ts";
import type { PreparedImage, RgbImage } from "../core/image.ts";
import type { Precision } from "../core/precision.ts";
import type { Scoring } from "../core/scoring.ts";

export interface ModelCallOptions {
  /** An abort rejects at once with the signal's reason; computing stops after the run under way. */
  readonly signal?: AbortSignal | undefined;
}

/** A loaded two-tower model, ready for inference: what every command, task and route is written against. */
export interface FlorenceModel {
  /** The name it was asked for by, or that its checkpoint gives. */
  readonly name: string;
  /** SHA-256 over weights, preprocessing, tokenizer and precision, in hex. Artefacts of different fingerprints never mix. */
  readonly fingerprint: string;
  /** Length of every embedding. */
  readonly embedDim: number;
  /** Length of an image's features. */
  readonly featureDim: number;
  /** The learnt factor on cosine similarities (not its logarithm). */
  readonly logitScale: number;
  /** How scaled similarities become probabilities. */
  readonly scoring: Scoring;
  /** L2-normalised embeddings, one an image, in order. */
  embedImages(images: readonly RgbImage[], options?: ModelCallOptions): Promise<Float32Array[]>;
  /**
   * What the image encoder pools, before the projection into the common space and not normalised: what linear probes
   * are fitted on. CLIP's ViTs: the class token after the last norm. SigLIP: the pooling's output, which no projection
   * follows. Swin: the normalised tokens' mean.
   */
  imageFeatures(images: readonly RgbImage[], options?: ModelCallOptions): Promise<Float32Array[]>;
  /**
   * L2-normalised embeddings of boxes of one picture, in order, from one run over all of it at its own size: faster than a
   * run for each box, and less sharp. Left out by models whose image encoder gives no map of a picture (all but CoSwin).
   *
   * @param source     the picture, or the level that this very encoder made of it already (`DetectorModel.encoderOf`)
   * @param boxesXyxy  [R, 4], flat, pixels of the picture
   */
  readonly embedRegions?:
    | ((
        source: RgbImage | EncoderLevel,
        boxesXyxy: Float32Array,
        options?: ModelCallOptions,
      ) => Promise<Float32Array[]>)
    | undefined;
  /** L2-normalised embeddings, one a text, in order. */
  embedTexts(texts: readonly string[], options?: ModelCallOptions): Promise<Float32Array[]>;
  /** Frees the native sessions; the model is unusable afterwards. */
  dispose(): Promise<void>;
}

/** A model that decodes and resizes pictures away from the calling thread: what `loadModel` gives. */
export interface ThreadedModel extends FlorenceModel, AsyncDisposable {
  readonly precision: Precision;
  /** A picture file, ready to be embedded. @throws UserError as `decodeImage` */
  readImage(path: string, options?: ModelCallOptions): Promise<PreparedImage>;
  /** As {@link embedImages}. */
  embedPrepared(images: readonly PreparedImage[], options?: ModelCallOptions): Promise<Float32Array[]>;
  /** As {@link imageFeatures}. */
  preparedFeatures(images: readonly PreparedImage[], options?: ModelCallOptions): Promise<Float32Array[]>;
}

export interface LoadOptions {
  /** Side of the square that pictures become, if not the model's own: position embeddings are interpolated. */
  readonly imageSize?: number | undefined;
  /** float32 if left out. */
  readonly precision?: Precision | undefined;
  /** Threads that compute; all processors if left out. */
  readonly threads?: number | undefined;
  /**
   * Most sessions of the image tower that share calls of several pictures, each with a copy of its weights; 1 for none
   * beside the one that has all threads. Four at most, and as memory allows, if left out.
   */
  readonly streams?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Loads a bundled model by name or a checkpoint folder by path. */
export type ModelLoader = (nameOrDirectory: string, options?: LoadOptions) => Promise<FlorenceModel>;
