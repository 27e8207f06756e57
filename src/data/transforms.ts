import { ShapeError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { type ResamplingFilter, resize } from "./resize.ts";

/** How an encoder wants its pictures; stored with the weights, part of the model's fingerprint. */
export interface PreprocessConfig {
  readonly size: number; // side of the square input, pixels
  readonly resize: "shorter-side" | "squash"; // keep the aspect and crop the centre, or ignore the aspect
  /** What the shorter side becomes before the centre of `size` is cut out, at least `size`; left out if it is `size`. */
  readonly resizeTo?: number | undefined;
  readonly filter: "bicubic" | "bilinear";
  /** Where the central crop starts when its margin is odd: half of it rounded (torchvision; left out), or down (transformers). */
  readonly cropStart?: "rounded" | "floored" | undefined;
  readonly mean: readonly [number, number, number]; // of values in 0 … 1, R G B
  readonly std: readonly [number, number, number];
}

/** Width and height when the shorter side becomes `size`; the longer one is cut to a whole number, not rounded. */
function shorterSideDimensions(image: RgbImage, size: number): [width: number, height: number] {
  const longer = Math.trunc((size * Math.max(image.width, image.height)) / Math.min(image.width, image.height));
  return image.width <= image.height ? [size, longer] : [longer, size];
}

/** Resizes so that the shorter side is `size`, as torchvision's `Resize(size)`; the right size already is left alone. */
export function resizeShorterSide(image: RgbImage, size: number, filter: ResamplingFilter): RgbImage {
  if (Math.min(image.width, image.height) === size) return image;
  return resize(image, ...shorterSideDimensions(image, size), filter);
}

/** The nearest integer, halves to the even one, as Python rounds. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * The central `size`×`size` pixels, as torchvision's `CenterCrop(size)`: an odd margin is split by rounding its half
 * to even; a smaller image is first padded with black, the extra pixel going right and below.
 */
export function centerCrop(image: RgbImage, size: number): RgbImage {
  const target = rgbImage(size, size);
  const x = cropAxis(image.width, size);
  const y = cropAxis(image.height, size);
  for (let row = 0; row < y.length; row++) {
    const start = ((y.from + row) * image.width + x.from) * 3;
    target.data.set(image.data.subarray(start, start + x.length * 3), ((y.to + row) * size + x.to) * 3);
  }
  return target;
}

/** Where a central crop reads (`from`) and writes (`to`) along one axis. */
function cropAxis(sourceSize: number, size: number): { from: number; to: number; length: number } {
  const before = size > sourceSize ? Math.floor((size - sourceSize) / 2) : 0;
  const padded = Math.max(sourceSize, size);
  const from = roundHalfToEven((padded - size) / 2);
  return { from, to: before, length: Math.min(sourceSize, size) };
}

/**
 * The picture an encoder sees, still in bytes: resized, and for "shorter-side" cropped as by {@link centerCrop}.
 *
 * @returns [size, size, 3], 0 … 255
 */
export function preprocess(
  image: RgbImage,
  config: Omit<PreprocessConfig, "mean" | "std"> & Partial<PreprocessConfig>,
): Uint8Array {
  const { size, filter } = config;
  if (config.resize === "squash") return resize(image, size, size, filter).data;
  const [width, height] = shorterSideDimensions(image, config.resizeTo ?? size);
  const start = config.cropStart === "floored" ? Math.floor : roundHalfToEven;
  const window = [start((width - size) / 2), start((height - size) / 2), size, size] as const;
  return resize(image, width, height, filter, { window }).data; // a 1×60,000 strip must not become 224×13,440,000
}

/**
 * Bytes to the floats an encoder takes: (value / 255 − mean) / std.
 *
 * @param pixels  [pixels, 3], RGB interleaved
 * @param target  written from `offset` on, as long as `pixels`; interleaved, or one plane a channel ("planar")
 * @throws        ShapeError if the target is too short
 */
export function normaliseInto(
  pixels: Uint8Array,
  { mean, std }: Pick<PreprocessConfig, "mean" | "std">,
  target: Float32Array,
  offset: number,
  layout: "interleaved" | "planar",
): void {
  if (offset + pixels.length > target.length) {
    throw new ShapeError(
      `normaliseInto: target must hold ${pixels.length} values from ${offset}, got ${target.length}`,
    );
  }
  const count = pixels.length / 3;
  for (let channel = 0; channel < 3; channel++) {
    const gain = 1 / (255 * std[channel]);
    const bias = -mean[channel] / std[channel];
    const stride = layout === "planar" ? 1 : 3;
    let out = offset + (layout === "planar" ? channel * count : channel);
    for (let i = channel; i < pixels.length; i += 3, out += stride) target[out] = pixels[i] * gain + bias;
  }
}
