import { ShapeError } from "./errors.ts";

/** A box as left, top, right, bottom: edges in pixels from the image's top left corner, x0 ≤ x1 and y0 ≤ y1. */
export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

/** Left, top, width, height, as COCO writes boxes, to edges. */
export function boxFromXywh([x, y, width, height]: readonly [number, number, number, number]): Box {
  return [x, y, x + width, y + height];
}

/** Edges to left, top, width, height. */
export function boxToXywh([x0, y0, x1, y1]: Box): [x: number, y: number, width: number, height: number] {
  return [x0, y0, x1 - x0, y1 - y0];
}

/** Centre, width and height, as YOLO writes boxes, to edges. */
export function boxFromCentre([x, y, width, height]: readonly [number, number, number, number]): Box {
  return [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
}

/** Edges to centre, width and height. */
export function boxToCentre([x0, y0, x1, y1]: Box): [x: number, y: number, width: number, height: number] {
  return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0];
}

/** Width times height; 0 for a box without one. */
export function boxArea([x0, y0, x1, y1]: Box): number {
  return Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
}

/** The part of a box within a picture; without area where there is none. */
export function clipBox([x0, y0, x1, y1]: Box, width: number, height: number): Box {
  const within = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  return [within(x0, width), within(y0, height), within(x1, width), within(y1, height)];
}

/** Intersection over union of two boxes, in [0, 1]; 0 where they do not overlap. */
export function boxIou(a: Box, b: Box): number {
  return iouMatrix(a, b)[0];
}

export interface IouOptions {
  /** A flag for each box of `b`: 1 divides by the area of `a` alone, as COCO does for crowds. */
  readonly crowd?: ArrayLike<number>;
}

/**
 * Intersection over union between every pair of boxes, as pycocotools computes it.
 *
 * @param a  [N, 4] xyxy, flat
 * @param b  [M, 4] likewise
 * @returns  [N, M] in [0, 1]; 0 for pairs that do not overlap, boxes without area among them
 * @throws   ShapeError if a length is not a multiple of 4
 */
export function iouMatrix(a: ArrayLike<number>, b: ArrayLike<number>, { crowd }: IouOptions = {}): Float64Array {
  const [rows, columns] = [boxCount(a), boxCount(b)];
  const ious = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const [x0, y0, x1, y1] = [a[4 * i], a[4 * i + 1], a[4 * i + 2], a[4 * i + 3]];
    const area = (x1 - x0) * (y1 - y0);
    for (let j = 0; j < columns; j++) {
      const at = 4 * j;
      const width = Math.min(x1, b[at + 2]) - Math.max(x0, b[at]);
      if (width <= 0) continue;
      const height = Math.min(y1, b[at + 3]) - Math.max(y0, b[at + 1]);
      if (height <= 0) continue;
      const shared = width * height;
      const other = (b[at + 2] - b[at]) * (b[at + 3] - b[at + 1]);
      ious[i * columns + j] = shared / (crowd?.[j] ? area : area + other - shared);
    }
  }
  return ious;
}

/**
 * Generalised IoU between every pair of boxes. Rezatofighi et al., arXiv:1902.09630.
 * Differs: two boxes that enclose no area score 0 instead of NaN.
 *
 * @param a  [N, 4] xyxy, flat
 * @param b  [M, 4] likewise
 * @returns  [N, M] in (−1, 1]
 * @throws   ShapeError if a length is not a multiple of 4
 */
export function giouMatrix(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  const scores = iouMatrix(a, b);
  const [rows, columns] = [boxCount(a), boxCount(b)];
  for (let i = 0; i < rows; i++) {
    const area = (a[4 * i + 2] - a[4 * i]) * (a[4 * i + 3] - a[4 * i + 1]);
    for (let j = 0; j < columns; j++) {
      const at = 4 * j;
      const other = (b[at + 2] - b[at]) * (b[at + 3] - b[at + 1]);
      const width = Math.max(a[4 * i + 2], b[at + 2]) - Math.min(a[4 * i], b[at]);
      const height = Math.max(a[4 * i + 3], b[at + 3]) - Math.min(a[4 * i + 1], b[at + 1]);
      const enclosing = width * height;
      const iou = scores[i * columns + j];
      const union = (area + other) / (1 + iou); // since shared = iou · union
      scores[i * columns + j] = enclosing > 0 ? iou - (enclosing - union) / enclosing : 0;
    }
  }
  return scores;
}

/** The number of boxes in a flat [N, 4] list. @throws ShapeError if its length is not a multiple of 4 */
export function boxCount(boxes: ArrayLike<number>): number {
  if (boxes.length % 4 !== 0) throw new ShapeError(`boxes: must be [N, 4], got ${boxes.length} numbers`);
  return boxes.length / 4;
}
