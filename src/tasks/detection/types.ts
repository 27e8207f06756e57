import type { Box } from "../../core/boxes.ts";
import type { EncoderLevel } from "../../core/encoder-level.ts";
import type { RgbImage } from "../../core/image.ts";
import type { LetterboxedImage } from "../../data/box-transforms/letterboxed-image.ts";
import type { FoundInPicture } from "../../models/detection/decode-detections.ts";

/** Something that was found in a picture. */
export interface Detection {
  readonly box: Box; // xyxy, pixels of the picture as it is shown
  readonly label: string;
  readonly score: number; // in [0, 1]; how it is made, `DetectionSettings` says
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The part of a loaded detector that the task needs. */
export interface BoxFinder {
  readImage(path: string, options?: CallOptions & { readonly keepsOriginal?: boolean }): Promise<LetterboxedImage>;
  detect(
    images: readonly LetterboxedImage[],
    options?: CallOptions & {
      readonly texts?: Float32Array | undefined;
      readonly scoreThreshold?: number | undefined;
      readonly maxDetections?: number | undefined;
      readonly nmsThreshold?: number | undefined;
      readonly keepsLevel?: boolean | undefined;
    },
  ): Promise<FoundInPicture[]>;
}

/** The part of a two-tower model that names boxes. */
export interface CropEmbedder {
  embedImages(images: readonly RgbImage[], options?: CallOptions): Promise<Float32Array[]>;
}

/** The part of a two-tower model that names boxes by its own map of the picture, where its encoder gives one. */
export interface RegionEmbedder {
  embedRegions(
    source: RgbImage | EncoderLevel,
    boxesXyxy: Float32Array,
    options?: CallOptions,
  ): Promise<Float32Array[]>;
}

/** Makes detections of what a detector found in one picture. */
export type BoxNamer = (found: FoundInPicture, image: LetterboxedImage, signal?: AbortSignal) => Promise<Detection[]>;
