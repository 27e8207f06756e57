import type { RgbImage } from "../../core/image.ts";

/** What is compared of a picture: 64 hash bits as two 32-bit halves, and a thumbnail to confirm a match with. */
export interface PictureSignature {
  readonly high: number; // unsigned
  readonly low: number; // unsigned
  readonly thumbnail: Uint8Array; // [16, 16, 3]
  /** Width over height without white borders. */
  readonly aspect: number;
  /** Whether there are white borders: product photos and drawings, whose outlines often agree by chance. */
  readonly onWhite: boolean;
}

/** Side of a signature's thumbnail in pixels. */
export const thumbnailSide = 16;

const hashColumns = 8;
const hashRows = 8;
/** From this value on in all three channels a pixel counts as white border. */
const borderWhite = 250;

/**
 * The signature of a picture: the difference hash ("dHash": is each of 8×8 cells brighter than its right neighbour?)
 * and the thumbnail of what is inside its white borders, so that the same drawing with other margins agrees.
 */
export function pictureSignature(image: RgbImage): PictureSignature {
  const inside = withoutWhiteBorder(image);
  const grey = greyCells(areaResize(image, inside, hashColumns + 1, hashRows));
  let high = 0;
  let low = 0;
  for (let row = 0; row < hashRows; row++) {
    for (let column = 0; column < hashColumns; column++) {
      const at = row * (hashColumns + 1) + column;
      const bit = grey[at] > grey[at + 1] ? 1 : 0;
      if (row < hashRows / 2) high = ((high << 1) | bit) >>> 0;
      else low = ((low << 1) | bit) >>> 0;
    }
  }
  const thumbnail = Uint8Array.from(areaResize(image, inside, thumbnailSide, thumbnailSide), Math.round);
  const onWhite = inside.width < image.width || inside.height < image.height;
  return { high, low, thumbnail, aspect: inside.width / inside.height, onWhite };
}

/** The picture with left and right exchanged. */
export function mirrored({ width, height, data }: RgbImage): RgbImage {
  const turned = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      turned.set(data.subarray(from, from + 3), (y * width + (width - 1 - x)) * 3);
    }
  }
  return { width, height, data: turned };
}

/** The number of differing bits of two 64-bit hashes, 0 … 64. */
export function hammingDistance(highA: number, lowA: number, highB: number, lowB: number): number {
  return bitCount(highA ^ highB) + bitCount(lowA ^ lowB);
}

/** The mean absolute difference of two thumbnails, 0 … 255. */
export function thumbnailDifference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / a.length;
}

/** How much a thumbnail varies: the mean absolute distance of its values from the channel's mean, 0 … 128. */
export function thumbnailContrast(thumbnail: Uint8Array): number {
  const pixels = thumbnail.length / 3;
  const means = [0, 0, 0];
  for (let i = 0; i < thumbnail.length; i++) means[i % 3] += thumbnail[i] / pixels;
  let sum = 0;
  for (let i = 0; i < thumbnail.length; i++) sum += Math.abs(thumbnail[i] - means[i % 3]);
  return sum / thumbnail.length;
}

interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function withoutWhiteBorder({ width, height, data }: RgbImage): Region {
  let left = width;
  let right = -1;
  let top = height;
  let bottom = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      if (data[at] >= borderWhite && data[at + 1] >= borderWhite && data[at + 2] >= borderWhite) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  if (right < 0) return { left: 0, top: 0, width, height }; // white all over
  return { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** Scales a region of a picture to `columns`×`rows` by averaging the area under each cell, [rows, columns, 3]. */
function areaResize(image: RgbImage, region: Region, columns: number, rows: number): Float64Array {
  const horizontal = spans(region.left, region.width, columns);
  const vertical = spans(region.top, region.height, rows);
  const cells = new Float64Array(rows * columns * 3);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const cell = (row * columns + column) * 3;
      for (const [y, share] of vertical[row]) {
        for (const [x, part] of horizontal[column]) {
          const at = (y * image.width + x) * 3;
          const weight = share * part;
          for (let channel = 0; channel < 3; channel++) cells[cell + channel] += weight * image.data[at + channel];
        }
      }
    }
  }
  return cells;
}

/** For each of `count` equal parts of [start, start + length): the pixels it covers and their shares (sum 1). */
function spans(start: number, length: number, count: number): [number, number][][] {
  const size = length / count;
  return Array.from({ length: count }, (_, i) => {
    const from = i * size;
    const to = from + size;
    const covered: [number, number][] = [];
    for (let pixel = Math.floor(from); pixel < Math.min(Math.ceil(to - 1e-9), length); pixel++) {
      covered.push([start + pixel, (Math.min(pixel + 1, to) - Math.max(pixel, from)) / size]);
    }
    return covered;
  });
}

function greyCells(cells: Float64Array): Float64Array {
  // Rounded, so that equal pixels stay equal and flat areas give zero bits whatever the rounding of the averages.
  return Float64Array.from({ length: cells.length / 3 }, (_, i) =>
    Math.round(0.299 * cells[3 * i] + 0.587 * cells[3 * i + 1] + 0.114 * cells[3 * i + 2]),
  );
}

function bitCount(value: number): number {
  let bits = value - ((value >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
