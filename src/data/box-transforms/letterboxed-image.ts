import type { RgbImage } from "../../core/image.ts";
import type { Placement } from "./boxed-picture.ts";
import { letterbox } from "./resize-boxes.ts";

/** How a detector wants its pictures. */
export interface LetterboxConfig {
  readonly side: number; // longer side of the picture, pixels
  /** What grey fills: a square of `side`, or the shorter side up to a multiple of `stride`. */
  readonly padding: "square" | "stride";
  readonly stride: number; // of the coarsest level; `side` is a multiple of it where padding goes by it
}

/** A picture as a detector wants it, in bytes, and what it takes to tell boxes in the original's pixels. */
export interface LetterboxedImage {
  readonly width: number; // of the canvas, pixels
  readonly height: number;
  readonly data: Uint8Array; // [height, width, 3], values 0 … 255
  readonly placement: Placement; // of the original's points in the canvas
  readonly originalWidth: number;
  readonly originalHeight: number;
  /** [originalHeight, originalWidth, 3], where it is wanted too. */
  readonly originalData?: Uint8Array;
}

/** Fits a picture into the canvas that a detector of this configuration takes; bars lie evenly on both sides. */
export function letterboxImage(
  image: RgbImage,
  { side, padding, stride }: LetterboxConfig,
  keepsOriginal = false,
): LetterboxedImage {
  const scale = side / Math.max(image.width, image.height);
  const sideOf = (length: number): number =>
    padding === "square" ? side : Math.ceil(Math.max(1, Math.round(length * scale)) / stride) * stride;
  const [width, height] = [sideOf(image.width), sideOf(image.height)];
  const { image: canvas, placement } = letterbox({ image, boxes: [] }, width, height);
  return {
    width,
    height,
    data: canvas.data,
    placement,
    originalWidth: image.width,
    originalHeight: image.height,
    ...(keepsOriginal && { originalData: image.data }),
  };
}
