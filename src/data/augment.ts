import { ShapeError } from "../core/errors.ts";
import type { Rng } from "../core/rng.ts";
import { type CropBox, CropSampler } from "./crop-sampler.ts";

/** What training may do to an image. Every probability is in [0, 1]; an absent field does nothing. */
export interface AugmentConfig {
  /** Random resized crop: share of the area, and width over height. Szegedy et al., arXiv:1409.4842. */
  readonly crop?: { readonly scale: readonly [number, number]; readonly aspect?: readonly [number, number] };
  /** Probability of a horizontal flip. */
  readonly flip?: number;
  /** Largest random shift along each axis, in target pixels; what enters repeats the edge. */
  readonly shift?: number;
  /** Largest amount a of an unsharp mask, drawn from [0, a]: v + amount · (v − its 3×3 binomial mean). */
  readonly sharpen?: number;
  /** Half-width b of the factor's range [1 − b, 1 + b] that multiplies all values. */
  readonly brightness?: number;
  /** The same for the distance from the image's mean grey. */
  readonly contrast?: number;
  /** The same for the distance of each pixel from its own grey. */
  readonly saturation?: number;
  /** Probability of dropping all colour. */
  readonly greyscale?: number;
  /** Random erasing: a box of random noise over a share of the area. Zhong et al., arXiv:1708.04896. */
  readonly erase?: { readonly probability: number; readonly area: readonly [number, number] };
}

const DEFAULT_ASPECT: readonly [number, number] = [3 / 4, 4 / 3];
const RED = 0.299; // ITU-R 601 luma
const GREEN = 0.587;
const BLUE = 0.114;

const sampler = new CropSampler();
const box: CropBox = { left: 0, top: 0, width: 0, height: 0 };

/**
 * One augmented view of an image, written into its slot of a batch. Allocates nothing once the scratch buffers have
 * grown; the same `rng` state gives the same bytes. Crops are sampled bilinearly, by a triangle as wide as a target
 * pixel where the crop is larger than the target.
 *
 * @param source      [sourceHeight, sourceWidth, 3] RGB at `sourceOffset`
 * @param target      [targetSize, targetSize, 3] RGB at `targetOffset`
 * @throws            ShapeError if either does not fit its buffer
 */
export function augmentInto(
  source: Uint8Array,
  sourceOffset: number,
  sourceHeight: number,
  sourceWidth: number,
  target: Uint8Array,
  targetOffset: number,
  targetSize: number,
  config: AugmentConfig,
  rng: Rng,
): void {
  if (sourceOffset < 0 || sourceOffset + sourceHeight * sourceWidth * 3 > source.length) {
    throw new ShapeError(
      `augmentInto: ${sourceHeight}×${sourceWidth} at ${sourceOffset} must fit ${source.length} bytes`,
    );
  }
  if (targetOffset < 0 || targetOffset + targetSize * targetSize * 3 > target.length) {
    throw new ShapeError(`augmentInto: ${targetSize}² at ${targetOffset} must fit ${target.length} bytes`);
  }
  drawCrop(sourceHeight, sourceWidth, targetSize, config, rng);
  const flipped = config.flip !== undefined && rng.uniform() < config.flip;
  const pixels = sampler.sample(source, sourceOffset, sourceHeight, sourceWidth, box, targetSize, flipped);
  const length = targetSize * targetSize * 3;
  if (config.sharpen) sharpen(pixels, targetSize, rng.uniform(0, config.sharpen));
  jitterColour(pixels, length, config, rng);
  for (let i = 0; i < length; i++) {
    const value = pixels[i];
    target[targetOffset + i] = value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
  }
  if (config.erase && rng.uniform() < config.erase.probability) {
    eraseBox(target, targetOffset, targetSize, config.erase.area, rng);
  }
}

/** Draws the crop into `box`, source pixels: ten tries at area and aspect, then the largest central one that fits. */
function drawCrop(height: number, width: number, targetSize: number, config: AugmentConfig, rng: Rng): void {
  box.left = 0;
  box.top = 0;
  box.width = width;
  box.height = height;
  if (config.crop) {
    const { scale, aspect = DEFAULT_ASPECT } = config.crop;
    const lowest = Math.log(aspect[0]);
    const highest = Math.log(aspect[1]);
    let found = false;
    for (let attempt = 0; attempt < 10 && !found; attempt++) {
      const area = height * width * rng.uniform(scale[0], scale[1]);
      const ratio = Math.exp(rng.uniform(lowest, highest));
      box.width = Math.sqrt(area * ratio);
      box.height = Math.sqrt(area / ratio);
      found = box.width <= width && box.height <= height;
    }
    if (found) {
      box.left = rng.uniform(0, width - box.width);
      box.top = rng.uniform(0, height - box.height);
    } else {
      const ratio = Math.min(Math.max(width / height, aspect[0]), aspect[1]);
      box.width = Math.min(width, height * ratio);
      box.height = Math.min(height, width / ratio);
      box.left = (width - box.width) / 2;
      box.top = (height - box.height) / 2;
    }
  }
  if (config.shift) {
    box.left += ((rng.int(2 * config.shift + 1) - config.shift) * box.width) / targetSize;
    box.top += ((rng.int(2 * config.shift + 1) - config.shift) * box.height) / targetSize;
  }
}

let rowMeans = new Float32Array(0); // [size, size, 3]: means along x, scratch of sharpen

/**
 * Unsharp mask in place, edges repeated. Pictures shrunk without antialiasing have more of the highest frequencies than
 * smooth ones, and a model that saw only smooth ones misreads them (measured in docs/nano-experiments.md).
 */
function sharpen(pixels: Float32Array, size: number, amount: number): void {
  const row = size * 3;
  if (rowMeans.length < size * row) rowMeans = new Float32Array(size * row);
  for (let y = 0; y < size; y++) {
    for (let i = 0; i < row; i++) {
      const at = y * row + i;
      const left = i < 3 ? at : at - 3;
      const right = i >= row - 3 ? at : at + 3;
      rowMeans[at] = (pixels[left] + 2 * pixels[at] + pixels[right]) / 4;
    }
  }
  for (let y = 0; y < size; y++) {
    const above = y === 0 ? 0 : -row;
    const below = y === size - 1 ? 0 : row;
    for (let at = y * row; at < (y + 1) * row; at++) {
      const mean = (rowMeans[at + above] + 2 * rowMeans[at] + rowMeans[at + below]) / 4;
      pixels[at] += amount * (pixels[at] - mean);
    }
  }
}

function factor(spread: number | undefined, rng: Rng): number {
  return spread ? rng.uniform(Math.max(0, 1 - spread), 1 + spread) : 1;
}

/** Brightness, contrast and saturation in this order, as one affine map a pixel; values are clipped only at the end. */
function jitterColour(pixels: Float32Array, length: number, config: AugmentConfig, rng: Rng): void {
  const brightness = factor(config.brightness, rng);
  const contrast = factor(config.contrast, rng);
  let saturation = factor(config.saturation, rng);
  if (config.greyscale && rng.uniform() < config.greyscale) saturation = 0;
  if (brightness === 1 && contrast === 1 && saturation === 1) return;
  let meanGrey = 0;
  if (contrast !== 1) {
    for (let i = 0; i < length; i += 3) meanGrey += RED * pixels[i] + GREEN * pixels[i + 1] + BLUE * pixels[i + 2];
    meanGrey *= 3 / length;
  }
  // Contrast keeps a pixel's distance from the mean: v → g·v + offset. Saturation then mixes it with its own grey.
  const gain = brightness * contrast;
  const offset = brightness * (1 - contrast) * meanGrey;
  const own = gain * saturation;
  const shared = gain * (1 - saturation);
  for (let i = 0; i < length; i += 3) {
    const red = pixels[i];
    const green = pixels[i + 1];
    const blue = pixels[i + 2];
    const grey = shared * (RED * red + GREEN * green + BLUE * blue) + offset;
    pixels[i] = own * red + grey;
    pixels[i + 1] = own * green + grey;
    pixels[i + 2] = own * blue + grey;
  }
}

function eraseBox(
  target: Uint8Array,
  targetOffset: number,
  size: number,
  area: readonly [number, number],
  rng: Rng,
): void {
  const pixels = size * size * rng.uniform(area[0], area[1]);
  const ratio = Math.exp(rng.uniform(Math.log(0.3), Math.log(1 / 0.3)));
  const height = Math.max(1, Math.min(size, Math.round(Math.sqrt(pixels * ratio))));
  const width = Math.max(1, Math.min(size, Math.round(Math.sqrt(pixels / ratio))));
  const top = rng.int(size - height + 1);
  const left = rng.int(size - width + 1);
  for (let y = top; y < top + height; y++) {
    const start = targetOffset + (y * size + left) * 3;
    for (let i = start; i < start + width * 3; i += 3) {
      const noise = rng.uint32(); // a random byte a channel
      target[i] = noise & 0xff;
      target[i + 1] = (noise >>> 8) & 0xff;
      target[i + 2] = (noise >>> 16) & 0xff;
    }
  }
}
