import { ShapeError } from "./errors.ts";

/** A decoded picture: sRGB, 8 bits a channel, rows from the top, pixels as R G B triples. */
export interface RgbImage {
  readonly width: number; // pixels
  readonly height: number; // pixels
  readonly data: Uint8Array; // [height, width, 3], values 0 … 255
}

/**
 * An image value whose buffer is checked against its size.
 *
 * @param data  [height, width, 3]; zeros are allocated if it is left out
 * @throws      ShapeError if a side is not a positive integer or the buffer has another length
 */
export function rgbImage(width: number, height: number, data?: Uint8Array): RgbImage {
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new ShapeError(`rgbImage: sides must be positive integers, got ${width}×${height}`);
  }
  const pixels = data ?? new Uint8Array(width * height * 3);
  if (pixels.length !== width * height * 3) {
    throw new ShapeError(`rgbImage: ${width}×${height} RGB needs ${width * height * 3} bytes, got ${pixels.length}`);
  }
  return { width, height, data: pixels };
}

/** A picture as a model wants it, resized and cropped already: what {@link RgbImage}s become off the main thread. */
export interface PreparedImage {
  readonly side: number; // pixels
  readonly data: Uint8Array; // [side, side, 3], values 0 … 255
}
