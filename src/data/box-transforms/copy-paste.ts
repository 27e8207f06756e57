import { type Box, boxArea } from "../../core/boxes.ts";
import { ShapeError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import type { Rng } from "../../core/rng.ts";
import { resize } from "../resize.ts";
import { type BoxedPicture, LEAST_VISIBLE, type PictureBox } from "./boxed-picture.ts";

/** An object cut out of its picture. */
export interface Cutout {
  readonly image: RgbImage;
  readonly class: number;
  /** [height, width], 255 = the object; the whole rectangle if it is left out. */
  readonly alpha?: Uint8Array;
}

/** The objects of a picture as cut-outs of their boxes; ignored ones are left where they are. */
export function cutObjects({ image, boxes }: BoxedPicture): Cutout[] {
  return boxes
    .filter(({ ignored }) => !ignored)
    .map(({ box, class: own }) => {
      const [left, top] = [Math.floor(box[0]), Math.floor(box[1])];
      const width = Math.max(1, Math.min(image.width, Math.ceil(box[2])) - left);
      const cut = rgbImage(width, Math.max(1, Math.min(image.height, Math.ceil(box[3])) - top));
      for (let y = 0; y < cut.height; y++) {
        const from = ((top + y) * image.width + left) * 3;
        cut.data.set(image.data.subarray(from, from + width * 3), y * width * 3);
      }
      return { image: cut, class: own };
    });
}

/**
 * Pastes cut-outs at random places, scaled by a factor from `range`; boxes that are mostly covered are dropped. Copy-paste,
 * Ghiasi et al., arXiv:2012.07177. Differs: a cut-out with alpha has the box of what is opaque.
 */
export function copyPaste(
  picture: BoxedPicture,
  cutouts: readonly Cutout[],
  range: readonly [number, number],
  rng: Rng,
): BoxedPicture {
  let current: BoxedPicture = { ...picture, image: { ...picture.image, data: picture.image.data.slice() } };
  const { width, height } = picture.image;
  for (const cutout of cutouts) {
    const most = Math.min(width / cutout.image.width, height / cutout.image.height); // it must fit
    const scaled = scaleCutout(cutout, Math.min(most, rng.uniform(range[0], range[1])));
    const left = rng.int(width - scaled.image.width + 1);
    const top = rng.int(height - scaled.image.height + 1);
    current = { ...current, boxes: pasteInto(current, scaled, left, top) };
  }
  return current;
}

function scaleCutout({ image, alpha, class: own }: Cutout, factor: number): Cutout {
  if (alpha && alpha.length !== image.width * image.height) {
    throw new ShapeError(`copyPaste: alpha must be ${image.width}×${image.height}, got ${alpha.length} values`);
  }
  const width = Math.max(1, Math.floor(image.width * factor));
  const height = Math.max(1, Math.floor(image.height * factor));
  const scaled = resize(image, width, height, "bilinear");
  if (!alpha) return { image: scaled, class: own };
  const triples = rgbImage(image.width, image.height);
  for (let i = 0; i < alpha.length; i++) triples.data.fill(alpha[i], i * 3, i * 3 + 3);
  const opacity = resize(triples, width, height, "bilinear").data.filter((_, i) => i % 3 === 0);
  return { image: scaled, class: own, alpha: opacity };
}

/** Blends a cut-out into the picture in place, and returns the boxes that can still be seen. */
function pasteInto(
  { image, boxes }: BoxedPicture,
  { image: cut, alpha, class: own }: Cutout,
  left: number,
  top: number,
) {
  let box: Box = [left, top, left + cut.width, top + cut.height];
  if (alpha) {
    const bounds = opaqueBounds(alpha, cut.width);
    if (!bounds) return boxes;
    box = [left + bounds[0], top + bounds[1], left + bounds[2], top + bounds[3]];
  }
  for (let y = 0; y < cut.height; y++) {
    for (let x = 0; x < cut.width; x++) {
      const opacity = alpha ? alpha[y * cut.width + x] / 255 : 1;
      const from = (y * cut.width + x) * 3;
      const to = ((top + y) * image.width + left + x) * 3;
      for (let channel = 0; channel < 3; channel++) {
        const under = image.data[to + channel];
        image.data[to + channel] = Math.round(under + opacity * (cut.data[from + channel] - under));
      }
    }
  }
  const isOpaque = (x: number, y: number) => !alpha || alpha[(y - top) * cut.width + (x - left)] > 127;
  const visible = boxes.filter((other) => uncoveredShare(other.box, box, isOpaque) >= LEAST_VISIBLE);
  return [...visible, { box, class: own, ignored: false }] satisfies PictureBox[];
}

/** The share of a box that opaque pixels of the pasted one leave to be seen. */
function uncoveredShare(box: Box, pasted: Box, isOpaque: (x: number, y: number) => boolean): number {
  let covered = 0;
  const [x0, y0] = [Math.max(box[0], pasted[0]), Math.max(box[1], pasted[1])];
  const [x1, y1] = [Math.min(box[2], pasted[2]), Math.min(box[3], pasted[3])];
  for (let y = Math.floor(y0); y < y1; y++) {
    for (let x = Math.floor(x0); x < x1; x++) {
      const inside = (Math.min(x + 1, x1) - Math.max(x, x0)) * (Math.min(y + 1, y1) - Math.max(y, y0));
      if (isOpaque(x, y)) covered += inside;
    }
  }
  return 1 - covered / boxArea(box);
}

/** Bounds of what is more than half opaque; undefined for nothing. */
function opaqueBounds(alpha: Uint8Array, width: number): Box | undefined {
  let [x0, y0, x1, y1] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, -1, -1];
  for (let i = 0; i < alpha.length; i++) {
    if (alpha[i] <= 127) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
  }
  return x1 < 0 ? undefined : [x0, y0, x1, y1];
}
