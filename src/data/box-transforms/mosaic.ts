import type { Rng } from "../../core/rng.ts";
import { resize } from "../resize.ts";
import { type BoxedPicture, drawImage, greyCanvas, moveBoxes, type PictureBox } from "./boxed-picture.ts";

/**
 * Four pictures in one: they meet in a point drawn from the middle half, each cut from a random place of its own scaled
 * picture. YOLOv4's mosaic, Bochkovskiy et al., arXiv:2004.10934.
 *
 * @param pictures  top left, top right, bottom left, bottom right
 * @param width     of the result, pixels, at least 4
 * @param height    likewise
 */
export function mosaic(
  pictures: readonly [BoxedPicture, BoxedPicture, BoxedPicture, BoxedPicture],
  width: number,
  height: number,
  rng: Rng,
): BoxedPicture {
  const x = Math.round(width * rng.uniform(0.25, 0.75));
  const y = Math.round(height * rng.uniform(0.25, 0.75));
  const tiles = [
    { left: 0, top: 0, right: x, bottom: y },
    { left: x, top: 0, right: width, bottom: y },
    { left: 0, top: y, right: x, bottom: height },
    { left: x, top: y, right: width, bottom: height },
  ];
  const canvas = greyCanvas(width, height);
  const boxes: PictureBox[] = [];
  for (const [i, { left, top, right, bottom }] of tiles.entries()) {
    const tile = fillTile(pictures[i], right - left, bottom - top, rng);
    drawImage(canvas, tile.image, left, top);
    boxes.push(...moveBoxes(tile.boxes, { scaleX: 1, scaleY: 1, left, top }, canvas));
  }
  return { image: canvas, boxes };
}

/** A picture scaled to half the mosaic or more, so that it fills its tile, and cut to it. */
function fillTile(picture: BoxedPicture, width: number, height: number, rng: Rng): BoxedPicture {
  const { image } = picture;
  const cover = Math.max(width / image.width, height / image.height) * rng.uniform(1, 1.5);
  const scaled = { width: Math.ceil(image.width * cover), height: Math.ceil(image.height * cover) };
  const left = rng.int(scaled.width - width + 1);
  const top = rng.int(scaled.height - height + 1);
  const tile = resize(image, scaled.width, scaled.height, "bilinear", { window: [left, top, width, height] });
  const scale = { scaleX: scaled.width / image.width, scaleY: scaled.height / image.height };
  return { image: tile, boxes: moveBoxes(picture.boxes, { ...scale, left: -left, top: -top }, tile) };
}
