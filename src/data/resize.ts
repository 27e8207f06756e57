import { ShapeError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { RESAMPLING_KERNELS, type ResamplingFilter } from "./resampling-kernels.ts";
import { type AxisWeights, PRECISION_BITS, resampleColumns, resampleRows } from "./resize-kernels.ts";

export type { ResamplingFilter } from "./resampling-kernels.ts";

/** A region of the source, pixels, edges not necessarily whole: left, top, right, bottom. */
export type ResizeBox = readonly [number, number, number, number];

const TALL = 100; // times as high as wide, and the vertical pass comes first

/** Parts of the source and of the target; each is whole if it is left out. */
export interface ResizeRegions {
  readonly box?: ResizeBox;
  /** The only part of the target that is computed: left, top, width, height, whole pixels. */
  readonly window?: readonly [number, number, number, number];
}

/**
 * Resizes with an antialiasing filter, bit for bit as Pillow's `Image.resize(size, filter, box)` does for 8-bit RGB:
 * filter support widened by the reduction, 22-bit weights, a horizontal pass rounded to 8 bits, then a vertical one; the other way
 * round where a very tall picture gets lower.
 * Differs from Pillow 13, which makes the vertical pass first where the height shrinks by more than twice as many pixels
 * as the width: models and their published scores are older, and an embedding must not depend on the year.
 *
 * @param width   target width, pixels
 * @param height  target height, pixels
 * @throws        ShapeError if the target has no pixels, or a region is empty or leaves its image
 */
export function resize(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResamplingFilter,
  { box = [0, 0, image.width, image.height], window = [0, 0, width, height] }: ResizeRegions = {},
): RgbImage {
  const [left, top, right, bottom] = box;
  if (!(left >= 0 && top >= 0 && right <= image.width && bottom <= image.height && left < right && top < bottom)) {
    throw new ShapeError(`resize: box must lie within ${image.width}×${image.height}, got [${box.join(", ")}]`);
  }
  const [windowLeft, windowTop, windowWidth, windowHeight] = window;
  if (!(windowLeft >= 0 && windowTop >= 0 && windowLeft + windowWidth <= width && windowTop + windowHeight <= height)) {
    throw new ShapeError(`resize: window must lie within ${width}×${height}, got [${window.join(", ")}]`);
  }
  const target = rgbImage(windowWidth, windowHeight); // checks the sides
  const needsHorizontal = windowWidth !== image.width || left !== 0 || right !== width;
  const needsVertical = windowHeight !== image.height || top !== 0 || bottom !== height;
  if (!needsHorizontal && !needsVertical) return { ...target, data: image.data.slice() };
  const rows = axisWeights(image.height, [top, bottom], height, [windowTop, windowHeight], filter);
  if (!needsHorizontal) {
    resampleColumns(image.data, image.width * 3, 0, target.data, rows);
    return target;
  }
  const columns = axisWeights(image.width, [left, right], width, [windowLeft, windowWidth], filter);
  if (!needsVertical) {
    resampleRows(image.data, image.width, [0, windowHeight], target.data, columns);
    return target;
  }
  if (image.height > TALL * image.width && height < image.height) {
    const between = rgbImage(image.width, windowHeight);
    resampleColumns(image.data, image.width * 3, 0, between.data, rows);
    resampleRows(between.data, image.width, [0, windowHeight], target.data, columns);
    return target;
  }
  const firstRow = rows.first[0];
  const lastRow = rows.first[windowHeight - 1] + rows.counts[windowHeight - 1]; // exclusive
  const between = new Uint8Array((lastRow - firstRow) * windowWidth * 3);
  resampleRows(image.data, image.width, [firstRow, lastRow], between, columns);
  resampleColumns(between, windowWidth * 3, firstRow, target.data, rows);
  return target;
}

/** {@link resize} of the whole image with the cubic kernel (a = −0.5). */
export function resizeBicubic(image: RgbImage, width: number, height: number): RgbImage {
  return resize(image, width, height, "bicubic");
}

/** {@link resize} of the whole image with the triangle kernel. */
export function resizeBilinear(image: RgbImage, width: number, height: number): RgbImage {
  return resize(image, width, height, "bilinear");
}

function axisWeights(
  sourceSize: number,
  [start, end]: readonly [number, number],
  targetSize: number,
  [windowStart, windowSize]: readonly [number, number],
  filter: ResamplingFilter,
): AxisWeights {
  const { support, weight } = RESAMPLING_KERNELS[filter];
  const scale = (end - start) / targetSize;
  const widening = Math.max(scale, 1);
  const radius = support * widening;
  const taps = Math.ceil(radius) * 2 + 1;
  const first = new Int32Array(windowSize);
  const counts = new Int32Array(windowSize);
  const weights = new Int32Array(windowSize * taps);
  const exact = new Float64Array(taps);
  const narrowing = 1 / widening; // multiplied, not divided by: the last bit of a weight depends on it
  for (let position = 0; position < windowSize; position++) {
    const centre = start + (windowStart + position + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - radius + 0.5));
    const count = Math.min(sourceSize, Math.trunc(centre + radius + 0.5)) - low;
    let total = 0;
    for (let tap = 0; tap < count; tap++) {
      exact[tap] = weight((tap + low - centre + 0.5) * narrowing);
      total += exact[tap];
    }
    for (let tap = 0; tap < count; tap++) {
      const normalised = total === 0 ? exact[tap] : exact[tap] / total;
      weights[position * taps + tap] = Math.trunc((normalised < 0 ? -0.5 : 0.5) + normalised * (1 << PRECISION_BITS));
    }
    first[position] = low;
    counts[position] = count;
  }
  return { taps, first, counts, weights };
}
