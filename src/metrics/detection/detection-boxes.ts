import { boxCount } from "../../core/boxes.ts";
import { ShapeError } from "../../core/errors.ts";

/** What is in one picture. */
export interface TruthBoxes {
  readonly boxes: ArrayLike<number>; // [G, 4] xyxy, flat
  readonly classes: ArrayLike<number>; // [G], 0 … classes − 1
  /** [G], pixels²: COCO takes the segment's area; that of the box if it is left out. */
  readonly areas?: ArrayLike<number>;
  /** [G], 1 for a box over many objects: never missed, and it may be found several times. */
  readonly crowd?: ArrayLike<number>;
  /** [G], 1 for a box that counts neither if found nor if missed ("difficult" in Pascal VOC). */
  readonly ignored?: ArrayLike<number>;
}

/** What a detector found in one picture. */
export interface DetectedBoxes {
  readonly boxes: ArrayLike<number>; // [D, 4] xyxy, flat
  readonly classes: ArrayLike<number>; // [D]
  readonly scores: ArrayLike<number>; // [D], higher is surer; no NaN
}

/** Checks that truth and detections fit each other. @throws ShapeError naming the picture */
export function checkPictures(
  subject: string,
  truth: readonly TruthBoxes[],
  detected: readonly DetectedBoxes[],
  classes: number,
): void {
  if (truth.length !== detected.length) {
    throw new ShapeError(`${subject}: needs detections a picture, got ${detected.length} for ${truth.length}`);
  }
  for (const [i, { boxes, classes: own, areas, crowd, ignored }] of truth.entries()) {
    const count = boxCount(boxes);
    if ([own, areas, crowd, ignored].some((column) => column && column.length !== count)) {
      throw new ShapeError(`${subject}: columns of picture ${i} must have ${count} truths each`);
    }
    checkClasses(subject, i, own, classes);
  }
  for (const [i, { boxes, classes: own, scores }] of detected.entries()) {
    const count = boxCount(boxes);
    if (own.length !== count || scores.length !== count) {
      throw new ShapeError(`${subject}: columns of picture ${i} must have ${count} detections each`);
    }
    checkClasses(subject, i, own, classes);
    for (let d = 0; d < count; d++) {
      if (Number.isNaN(scores[d])) throw new ShapeError(`${subject}: score ${d} of picture ${i} is NaN`);
    }
  }
}

function checkClasses(subject: string, picture: number, own: ArrayLike<number>, classes: number): void {
  for (let j = 0; j < own.length; j++) {
    if (!(Number.isInteger(own[j]) && own[j] >= 0 && own[j] < classes)) {
      throw new ShapeError(`${subject}: classes are 0 … ${classes - 1}, got ${own[j]} in picture ${picture}`);
    }
  }
}

/** Boxes of one class: `rows` are places within the picture, pictures in order, bounded by `starts`. */
export interface ClassRows {
  readonly pictures: Uint32Array; // pictures that have boxes of the class, rising
  readonly starts: Uint32Array; // [pictures + 1]
  readonly rows: Uint32Array;
}

/** The boxes of all pictures by class. */
export function rowsByClass(columns: readonly { readonly classes: ArrayLike<number> }[], classes: number): ClassRows[] {
  const found = Array.from({ length: classes }, () => ({
    pictures: [] as number[],
    starts: [] as number[],
    rows: [] as number[],
  }));
  for (const [picture, { classes: own }] of columns.entries()) {
    for (let row = 0; row < own.length; row++) {
      const { pictures, starts, rows } = found[own[row]];
      if (pictures[pictures.length - 1] !== picture) {
        pictures.push(picture);
        starts.push(rows.length);
      }
      rows.push(row);
    }
  }
  return found.map(({ pictures, starts, rows }) => ({
    pictures: Uint32Array.from(pictures),
    starts: Uint32Array.from([...starts, rows.length]),
    rows: Uint32Array.from(rows),
  }));
}
