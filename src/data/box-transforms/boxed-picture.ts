import { type Box, boxArea, clipBox } from "../../core/boxes.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";

/** An object in a picture that is transformed with it. */
export interface PictureBox {
  readonly box: Box; // xyxy, pixels of the picture, within it
  readonly class: number;
  /** Neither to be found nor to be punished: a crowd, or a difficult object. */
  readonly ignored: boolean;
}

/** Pixels and the boxes in them. */
export interface BoxedPicture {
  readonly image: RgbImage;
  readonly boxes: readonly PictureBox[];
}

/** How a transform moves points: x ↦ scaleX · x + left, y ↦ scaleY · y + top. */
export interface Placement {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly left: number;
  readonly top: number;
}

/** Boxes of which less than this share is still to be seen are dropped: what is left of them misleads. */
export const LEAST_VISIBLE = 0.3;

/** The grey that stands where no picture is. */
export const PADDING_GREY = 114;

/** Boxes after a placement in a canvas, cut to it; those that can hardly be seen any more are dropped. */
export function moveBoxes(
  boxes: readonly PictureBox[],
  placement: Placement,
  canvas: { readonly width: number; readonly height: number },
): PictureBox[] {
  return boxes.flatMap((boxed) => {
    const moved = placeBox(boxed.box, placement);
    const box = clipBox(moved, canvas.width, canvas.height);
    return isVisible(box, moved) ? [{ ...boxed, box }] : [];
  });
}

/** One box after a placement. */
export function placeBox([x0, y0, x1, y1]: Box, { scaleX, scaleY, left, top }: Placement): Box {
  return [scaleX * x0 + left, scaleY * y0 + top, scaleX * x1 + left, scaleY * y1 + top];
}

/** A box of the transformed picture in the original one, cut to it: how detections are told. */
export function restoreBox(
  [x0, y0, x1, y1]: Box,
  { scaleX, scaleY, left, top }: Placement,
  original: { readonly width: number; readonly height: number },
): Box {
  const box: Box = [(x0 - left) / scaleX, (y0 - top) / scaleY, (x1 - left) / scaleX, (y1 - top) / scaleY];
  return clipBox(box, original.width, original.height);
}

/** Whether enough of a box is left, and at least a pixel of it each way. */
export function isVisible(left: Box, whole: Box): boolean {
  const [x0, y0, x1, y1] = left;
  return x1 - x0 >= 1 && y1 - y0 >= 1 && boxArea(left) >= LEAST_VISIBLE * boxArea(whole);
}

/** A picture of one grey. */
export function greyCanvas(width: number, height: number, grey: number = PADDING_GREY): RgbImage {
  const canvas = rgbImage(width, height);
  canvas.data.fill(grey);
  return canvas;
}

/** Copies a picture into a canvas, whole pixels; what lies outside is cut off. */
export function drawImage(canvas: RgbImage, image: RgbImage, left: number, top: number): void {
  const from = Math.max(0, -left);
  const to = Math.min(image.width, canvas.width - left);
  if (to <= from) return;
  for (let y = Math.max(0, -top); y < Math.min(image.height, canvas.height - top); y++) {
    const source = image.data.subarray((y * image.width + from) * 3, (y * image.width + to) * 3);
    canvas.data.set(source, ((y + top) * canvas.width + left + from) * 3);
  }
}

/** {@link restoreBox} of several boxes, four numbers each. */
export function restoreBoxes(
  boxes: ArrayLike<number>,
  placement: Placement,
  size: Parameters<typeof restoreBox>[2],
): Float32Array {
  const restored = new Float32Array(boxes.length);
  for (let i = 0; i < boxes.length; i += 4) {
    restored.set(restoreBox([boxes[i], boxes[i + 1], boxes[i + 2], boxes[i + 3]], placement, size), i);
  }
  return restored;
}
