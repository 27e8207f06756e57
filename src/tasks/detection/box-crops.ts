import { type Box, clipBox } from "../../core/boxes.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";

/**
 * The part of a picture that a box's object is judged by: the box with a margin, widened to a square, since encoders cut
 * the ends off what is not; moved within the picture, and no square where the picture is too narrow for one.
 *
 * @param margin  on each side, in lengths of the box's longer side
 */
export function cropAround(image: RgbImage, box: Box, margin: number): RgbImage {
  const [x0, y0, x1, y1] = clipBox(box, image.width, image.height);
  const side = Math.max(1, Math.round(Math.max(x1 - x0, y1 - y0) * (1 + 2 * margin)));
  const [left, width] = windowOf((x0 + x1) / 2, side, image.width);
  const [top, height] = windowOf((y0 + y1) / 2, side, image.height);
  const crop = rgbImage(width, height);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * image.width + left) * 3;
    crop.data.set(image.data.subarray(start, start + width * 3), row * width * 3);
  }
  return crop;
}

/** `side` pixels about a place, moved into 0 … `size`, cut where they do not fit. */
function windowOf(centre: number, side: number, size: number): [start: number, length: number] {
  const length = Math.min(side, size);
  return [Math.max(0, Math.min(size - length, Math.round(centre - length / 2))), length];
}
