import { type ResamplingFilter, resize } from "../resize.ts";
import { type BoxedPicture, drawImage, greyCanvas, moveBoxes, PADDING_GREY, type Placement } from "./boxed-picture.ts";

/** A transformed picture, and how its points were moved. */
export interface PlacedPicture extends BoxedPicture {
  readonly placement: Placement;
}

export interface LetterboxOptions {
  readonly filter?: ResamplingFilter;
  /** The grey of the bars, 0 … 255. */
  readonly grey?: number;
  /** Where the picture stands between the bars; top left suits heads that take the sizes of pictures. */
  readonly align?: "centre" | "top-left";
}

/**
 * Fits a picture into a canvas: scaled as large as it goes in its own proportions, bars of grey beside it.
 *
 * @param width   of the canvas, pixels
 * @param height  likewise
 */
export function letterbox(
  { image, boxes }: BoxedPicture,
  width: number,
  height: number,
  { filter = "bilinear", grey = PADDING_GREY, align = "centre" }: LetterboxOptions = {},
): PlacedPicture {
  const scale = Math.min(width / image.width, height / image.height);
  const scaled = scaledSize(image, scale);
  const left = align === "centre" ? Math.floor((width - scaled.width) / 2) : 0;
  const top = align === "centre" ? Math.floor((height - scaled.height) / 2) : 0;
  const canvas = greyCanvas(width, height, grey);
  drawImage(canvas, resize(image, scaled.width, scaled.height, filter), left, top);
  const placement = { scaleX: scaled.width / image.width, scaleY: scaled.height / image.height, left, top };
  return { image: canvas, boxes: moveBoxes(boxes, placement, canvas), placement };
}

/**
 * Resizes a picture so that its shorter side is `shorter`, but its longer one at most `longest`: the multi-scale
 * training of detectors draws `shorter` anew for each picture.
 */
export function resizeShorterSide(
  { image, boxes }: BoxedPicture,
  { shorter, longest, filter = "bilinear" }: ShorterSideOptions,
): PlacedPicture {
  const sides = [image.width, image.height];
  const scale = Math.min(shorter / Math.min(...sides), longest / Math.max(...sides));
  const { width, height } = scaledSize(image, scale);
  const placement = { scaleX: width / image.width, scaleY: height / image.height, left: 0, top: 0 };
  return {
    image: resize(image, width, height, filter),
    boxes: moveBoxes(boxes, placement, { width, height }),
    placement,
  };
}

export interface ShorterSideOptions {
  readonly shorter: number; // pixels
  readonly longest: number; // pixels
  readonly filter?: ResamplingFilter;
}

function scaledSize({ width, height }: { readonly width: number; readonly height: number }, scale: number) {
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}
