import { iouMatrix } from "../../core/boxes.ts";
import { ShapeError } from "../../core/errors.ts";
import type { AnchorGrid } from "../../models/detection/anchors.ts";

/** The objects of one image. */
export interface ObjectAnnotations {
  readonly boxesXyxy: Float32Array; // [G, 4], pixels of the picture that the detector is shown
  readonly classes: Int32Array; // [G]
  /** [I, 4]: regions where nothing is right or wrong, crowds for instance. */
  readonly ignoredXyxy?: Float32Array;
}

/** What each anchor of an image is to learn. */
export interface AnchorTargets {
  readonly classes: Int32Array; // [A], −1 for background, −2 for nothing at all
  readonly boxesXyxy: Float32Array; // [A, 4]; the anchor itself where there is no object
  readonly centerness: Float32Array; // [A] in [0, 1]; 0 where there is no object
}

export const background = -1;
export const ignored = -2;

/** Candidates that each object has on each level. */
const defaultCandidates = 9;

/** An anchor's centre must be this many pixels within the object's box. */
const smallestMargin = 0.01;

/**
 * Adaptive training sample selection: of the anchors nearest to an object on each level, those that overlap it by the
 * candidates' mean IoU and one deviation more, with their centre inside, are its own. Zhang et al., arXiv:1912.02424.
 * Of anchors equally far the earlier is nearer; of objects that overlap an anchor equally the earlier has it.
 *
 * @param boxesXyxy  [G, 4], pixels
 * @returns          [A], the object each anchor belongs to, −1 for none
 */
export function assignAnchors(grid: AnchorGrid, boxesXyxy: Float32Array, candidates = defaultCandidates): Int32Array {
  if (boxesXyxy.length % 4 !== 0) {
    throw new ShapeError(`assignAnchors: boxes must be [G, 4], got ${boxesXyxy.length} numbers`);
  }
  const owners = new Int32Array(grid.count).fill(background);
  const overlaps = new Float64Array(grid.count).fill(Number.NEGATIVE_INFINITY);
  for (let object = 0; object < boxesXyxy.length / 4; object++) {
    const box = boxesXyxy.subarray(4 * object, 4 * object + 4);
    const near = nearestAnchors(grid, box, candidates);
    const ious = iouMatrix(
      near.flatMap((anchor) => [...grid.boxesXyxy.subarray(4 * anchor, 4 * anchor + 4)]),
      box,
    );
    const threshold = meanAndDeviation(ious);
    for (const [i, anchor] of near.entries()) {
      const iou = ious[i];
      if (iou < threshold || iou <= overlaps[anchor] || marginWithin(grid, anchor, box) <= smallestMargin) continue;
      overlaps[anchor] = iou;
      owners[anchor] = object;
    }
  }
  return owners;
}

/** What the anchors of one image are to learn from its objects. */
export function anchorTargets(grid: AnchorGrid, objects: ObjectAnnotations): AnchorTargets {
  if (4 * objects.classes.length !== objects.boxesXyxy.length) {
    throw new ShapeError(
      `anchorTargets: each box must have a class, got ${objects.boxesXyxy.length / 4} boxes and ${objects.classes.length} classes`,
    );
  }
  const owners = assignAnchors(grid, objects.boxesXyxy);
  const classes = new Int32Array(grid.count).fill(background);
  const boxesXyxy = grid.boxesXyxy.slice();
  const centerness = new Float32Array(grid.count);
  for (const [anchor, owner] of owners.entries()) {
    if (owner >= 0) {
      const box = objects.boxesXyxy.subarray(4 * owner, 4 * owner + 4);
      classes[anchor] = objects.classes[owner];
      boxesXyxy.set(box, 4 * anchor);
      centerness[anchor] = centernessOf(grid, anchor, box);
    } else if (objects.ignoredXyxy && isWithinAny(grid, anchor, objects.ignoredXyxy)) {
      classes[anchor] = ignored;
    }
  }
  return { classes, boxesXyxy, centerness };
}

/** √(shorter / longer distance to the left and right edge · the same of top and bottom). FCOS, arXiv:1904.01355. */
function centernessOf(grid: AnchorGrid, anchor: number, box: Float32Array): number {
  const [left, top, right, bottom] = distances(grid, anchor, box);
  const across = Math.min(left, right) / Math.max(left, right);
  return Math.sqrt((across * Math.min(top, bottom)) / Math.max(top, bottom));
}

/** From an anchor's centre to a box's edges; negative outside. */
function distances({ boxesXyxy }: AnchorGrid, anchor: number, box: Float32Array): [number, number, number, number] {
  const x = (boxesXyxy[4 * anchor] + boxesXyxy[4 * anchor + 2]) / 2;
  const y = (boxesXyxy[4 * anchor + 1] + boxesXyxy[4 * anchor + 3]) / 2;
  return [x - box[0], y - box[1], box[2] - x, box[3] - y];
}

const marginWithin = (grid: AnchorGrid, anchor: number, box: Float32Array): number =>
  Math.min(...distances(grid, anchor, box));

function isWithinAny(grid: AnchorGrid, anchor: number, boxesXyxy: Float32Array): boolean {
  for (let i = 0; i < boxesXyxy.length; i += 4) {
    if (marginWithin(grid, anchor, boxesXyxy.subarray(i, i + 4)) > 0) return true;
  }
  return false;
}

/** The anchors nearest to a box's centre, so many of each level; all of a level that has no more. */
function nearestAnchors(grid: AnchorGrid, box: Float32Array, candidates: number): number[] {
  const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const found: number[] = [];
  let first = 0;
  for (const { stride, height, width } of grid.levels) {
    const nearest: { anchor: number; distance: number }[] = []; // nearest first
    for (let i = 0; i < height * width; i++) {
      const dx = ((i % width) + 0.5) * stride - x;
      const dy = (Math.floor(i / width) + 0.5) * stride - y;
      const distance = dx * dx + dy * dy;
      const last = nearest.at(-1);
      if (nearest.length === candidates && last && distance >= last.distance) continue;
      if (nearest.length === candidates) nearest.pop();
      let place = nearest.length;
      while (place > 0 && (nearest[place - 1] as { distance: number }).distance > distance) place--;
      nearest.splice(place, 0, { anchor: first + i, distance });
    }
    found.push(...nearest.map(({ anchor }) => anchor));
    first += height * width;
  }
  return found;
}

/** Of the sample; the deviation divides by one less than there are values. */
function meanAndDeviation(values: Float64Array): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((total, value) => total + (value - mean) ** 2, 0);
  return mean + Math.sqrt(squares / Math.max(1, values.length - 1));
}
