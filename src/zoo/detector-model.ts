import type { RgbImage } from "../core/image.ts";
import type { Precision } from "../core/precision.ts";
import type { LetterboxConfig, LetterboxedImage } from "../data/box-transforms/letterboxed-image.ts";
import type { FoundInPicture } from "../models/detection/decode-detections.ts";
import type { NamedClasses } from "./detector-config.ts";

export interface DetectOptions {
  /** [K, D] class embeddings of length 1, flat; for a detector whose classes are texts, and for no other. */
  readonly texts?: Float32Array | undefined;
  /** Least score of a class at a place, before centerness counts; 0.05 if left out. */
  readonly scoreThreshold?: number | undefined;
  /** Boxes of one picture; 100 if left out. */
  readonly maxDetections?: number | undefined;
  /** Of two boxes of one class that overlap by more (IoU), the worse goes; 0.6 if left out. */
  readonly nmsThreshold?: number | undefined;
  /** Whether the image encoder's last level is wanted too, for a model that names boxes by it. */
  readonly keepsLevel?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReadOptions {
  /** Whether the picture's own pixels are wanted beside the resized ones. */
  readonly keepsOriginal?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A loaded detector, ready for use; reading and computing happen in threads of their own. */
export interface DetectorModel extends AsyncDisposable {
  readonly name: string;
  /** SHA-256 over weights, architecture, classes, preprocessing and precision, in hex. */
  readonly fingerprint: string;
  readonly classes: NamedClasses;
  /** Length of the class embeddings; undefined where the classes are fixed. */
  readonly embedDim: number | undefined;
  /**
   * Fingerprint of the two-tower model whose image encoder is this one's, weight for weight, so that either may use what
   * the other's pass gave; undefined if it was trained further.
   */
  readonly encoderOf: string | undefined;
  readonly preprocessing: LetterboxConfig;
  readonly precision: Precision;
  /** A picture file, ready to be looked at, turned as its EXIF says. @throws UserError as `decodeImage` */
  readImage(path: string, options?: ReadOptions): Promise<LetterboxedImage>;
  /**
   * What is in each picture, best first, boxes in pixels of the original; `classes` are numbers of the detector's names
   * or rows of `texts`.
   *
   * @throws UserError bad-argument, mismatch: texts that the detector cannot take
   */
  detect(images: readonly (RgbImage | LetterboxedImage)[], options?: DetectOptions): Promise<FoundInPicture[]>;
  /** Frees the native sessions; the detector is unusable afterwards. */
  dispose(): Promise<void>;
}

export interface DetectorLoadOptions {
  /** float32 if left out. */
  readonly precision?: Precision | undefined;
  /** Threads that compute; all processors if left out. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Loads a bundled detector by name or a detector's folder by path. */
export type DetectorLoader = (nameOrDirectory: string, options?: DetectorLoadOptions) => Promise<DetectorModel>;
