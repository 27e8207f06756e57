import { type Box, clipBox } from "../../core/boxes.ts";
import { ShapeError } from "../../core/errors.ts";
import { rgbImage } from "../../core/image.ts";
import type { Rng } from "../../core/rng.ts";
import { resize } from "../resize.ts";
import { type BoxedPicture, drawImage, greyCanvas, moveBoxes } from "./boxed-picture.ts";

/** What training may do to a picture with boxes; an absent field does nothing. */
export interface BoxAugmentConfig {
  /** Probability of a horizontal flip. */
  readonly flip?: number;
  /** Probability of a crop that keeps whole at least one box, so that no picture is cropped to nothing. */
  readonly crop?: number;
  /** Range of the factor that the picture is scaled by before it is cut or padded to the target ("scale jitter"). */
  readonly scale?: readonly [number, number];
}

/** Mirrors left and right. */
export function flipHorizontally({ image, boxes }: BoxedPicture): BoxedPicture {
  const { width, height, data } = image;
  const flipped = rgbImage(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      const to = (y * width + width - 1 - x) * 3;
      for (let channel = 0; channel < 3; channel++) flipped.data[to + channel] = data[from + channel];
    }
  }
  const placement = { scaleX: 1, scaleY: 1, left: 0, top: 0 };
  const mirrored = boxes.map((boxed) => {
    const [x0, y0, x1, y1] = boxed.box;
    return { ...boxed, box: [width - x1, y0, width - x0, y1] as const };
  });
  return { image: flipped, boxes: moveBoxes(mirrored, placement, image) };
}

/** Cuts out a region of whole pixels; boxes of which little is left are dropped. */
export function cropPicture({ image, boxes }: BoxedPicture, region: Box): BoxedPicture {
  const [left, top, right, bottom] = region;
  const isWhole = region.every(Number.isInteger) && clipBox(region, image.width, image.height).join() === region.join();
  if (!isWhole || right <= left || bottom <= top) {
    throw new ShapeError(
      `cropPicture: must be whole pixels of ${image.width}×${image.height}, got [${region.join(", ")}]`,
    );
  }
  const cropped = rgbImage(right - left, bottom - top);
  drawImage(cropped, image, -left, -top);
  return { image: cropped, boxes: moveBoxes(boxes, { scaleX: 1, scaleY: 1, left: -left, top: -top }, cropped) };
}

/**
 * A crop of 0.3 to 1 of each side around one box drawn at random, which stays whole; a crop of the whole picture where
 * there are no boxes.
 */
export function cropAroundBox(picture: BoxedPicture, rng: Rng): BoxedPicture {
  const { width, height } = picture.image;
  if (picture.boxes.length === 0) return picture;
  const [x0, y0, x1, y1] = rng.pick(picture.boxes).box;
  const [left, right] = spanAround(Math.floor(x0), Math.ceil(x1), width, rng);
  const [top, bottom] = spanAround(Math.floor(y0), Math.ceil(y1), height, rng);
  return cropPicture(picture, [left, top, right, bottom]);
}

/** A span of a side that holds [low, high). */
function spanAround(low: number, high: number, side: number, rng: Rng): [number, number] {
  const length = Math.max(high - low, Math.round(side * rng.uniform(0.3, 1)));
  const first = Math.max(0, high - length);
  const last = Math.min(low, side - length);
  const start = first + rng.int(last - first + 1);
  return [start, start + length];
}

/**
 * Fits a picture into a canvas, then scales it by a factor drawn from the range: a larger one is cut at a random place, a
 * smaller one padded. Large-scale jitter, Ghiasi et al., arXiv:2012.07177.
 */
export function jitterScale(
  { image, boxes }: BoxedPicture,
  {
    width,
    height,
    range,
  }: { readonly width: number; readonly height: number; readonly range: readonly [number, number] },
  rng: Rng,
): BoxedPicture {
  const scale = Math.min(width / image.width, height / image.height) * rng.uniform(range[0], range[1]);
  const scaledWidth = Math.max(1, Math.round(image.width * scale));
  const scaledHeight = Math.max(1, Math.round(image.height * scale));
  const left = offset(width - scaledWidth, rng);
  const top = offset(height - scaledHeight, rng);
  const window = {
    left: Math.max(0, -left),
    top: Math.max(0, -top),
    width: Math.min(scaledWidth, width),
    height: Math.min(scaledHeight, height),
  };
  const canvas = greyCanvas(width, height);
  const part = resize(image, scaledWidth, scaledHeight, "bilinear", {
    window: [window.left, window.top, window.width, window.height], // pixels that would be cut off are never made
  });
  drawImage(canvas, part, Math.max(0, left), Math.max(0, top));
  const placement = { scaleX: scaledWidth / image.width, scaleY: scaledHeight / image.height, left, top };
  return { image: canvas, boxes: moveBoxes(boxes, placement, canvas) };
}

/** A random place for something that leaves `room` free, or that is too large by −`room`. */
function offset(room: number, rng: Rng): number {
  return room >= 0 ? rng.int(room + 1) : -rng.int(-room + 1);
}

/** Crop, flip and scale as configured, into a canvas; the same `rng` state gives the same picture. */
export function augmentBoxes(
  picture: BoxedPicture,
  width: number,
  height: number,
  { flip = 0, crop = 0, scale = [1, 1] }: BoxAugmentConfig,
  rng: Rng,
): BoxedPicture {
  let current = picture;
  if (rng.uniform() < crop) current = cropAroundBox(current, rng);
  if (rng.uniform() < flip) current = flipHorizontally(current);
  return jitterScale(current, { width, height, range: scale }, rng);
}
