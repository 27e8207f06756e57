import { type ClassRows, type DetectedBoxes, rowsByClass, type TruthBoxes } from "./detection-boxes.ts";

/** IoU thresholds 0.50, 0.55, …, 0.95, with the very float64 values of `numpy.linspace(0.5, 0.95, 10)`. */
export const cocoIouThresholds: Float64Array = Float64Array.from({ length: 10 }, (_, i) =>
  i === 9 ? 0.95 : 0.5 + i * ((0.95 - 0.5) / 9),
);

/** Pixels²; a box belongs to every range it lies in, bounds included. */
export const cocoAreaRanges = {
  all: [0, 1e5 ** 2],
  small: [0, 32 ** 2],
  medium: [32 ** 2, 96 ** 2],
  large: [96 ** 2, 1e5 ** 2],
} as const satisfies Readonly<Record<string, readonly [number, number]>>;

const ranges = Object.values(cocoAreaRanges);

/** The detections of one class, pictures in order and the surest first within a picture, and what each one met. */
export interface ClassMatches {
  readonly scores: Float64Array; // [D]
  readonly ranks: Uint32Array; // [D], 0 for the surest of its picture
  /** [area ranges, D]: bit t is set where the detection met a truth at threshold t. */
  readonly matched: Uint16Array;
  /** [area ranges, D]: bit t is set where the detection counts neither way at threshold t. */
  readonly ignored: Uint16Array;
  readonly positives: Uint32Array; // [area ranges]: truths to be found
}

/** Matches detections with truths picture by picture, for one class after the other. */
export class CocoMatcher {
  readonly #truth: readonly TruthBoxes[];
  readonly #detected: readonly DetectedBoxes[];
  readonly #truthRows: readonly ClassRows[];
  readonly #detectedRows: readonly ClassRows[];
  readonly #limit: number;
  // The truths of one class in one picture: scratch that grows.
  #boxes = new Float64Array(0);
  #areas = new Float64Array(0);
  #crowd = new Uint8Array(0);
  #excluded = new Uint8Array(0); // bit a: not among those to be found in area range a
  #taken = new Uint16Array(0); // [area ranges, G]: bit t

  /** @param limit  the most detections of a class in a picture; the surest are taken */
  constructor(
    truth: readonly TruthBoxes[],
    detected: readonly DetectedBoxes[],
    { classes, limit }: { readonly classes: number; readonly limit: number },
  ) {
    this.#truth = truth;
    this.#detected = detected;
    this.#truthRows = rowsByClass(truth, classes);
    this.#detectedRows = rowsByClass(detected, classes);
    this.#limit = limit;
  }

  /** All matches of one class, of the pictures in order. */
  match(ofClass: number): ClassMatches {
    const found = this.#detectedRows[ofClass];
    const known = this.#truthRows[ofClass];
    const picked = this.#pickSurest(found);
    const size = picked.rows.length;
    const matches: ClassMatches = {
      scores: new Float64Array(size),
      ranks: new Uint32Array(size),
      matched: new Uint16Array(ranges.length * size),
      ignored: new Uint16Array(ranges.length * size),
      positives: new Uint32Array(ranges.length),
    };
    let next = 0; // place in known.pictures
    const loadUpTo = (picture: number): number => {
      let count = 0;
      while (next < known.pictures.length && known.pictures[next] <= picture) {
        count = this.#load(known, next, matches.positives);
        if (known.pictures[next++] < picture) count = 0; // a picture in which nothing of the class was found
      }
      return count;
    };
    for (const [i, picture] of found.pictures.entries()) {
      const truths = loadUpTo(picture);
      const { boxes, scores } = this.#detected[picture];
      for (let at = picked.starts[i]; at < picked.starts[i + 1]; at++) {
        const row = picked.rows[at];
        matches.scores[at] = scores[row];
        matches.ranks[at] = at - picked.starts[i];
        this.#matchOne(boxes, row, truths, matches, at);
      }
    }
    loadUpTo(Number.POSITIVE_INFINITY);
    return matches;
  }

  /** Each picture's rows by falling score, equal ones as they stand, cut to the limit. */
  #pickSurest({ pictures, starts, rows }: ClassRows): { starts: Uint32Array; rows: Uint32Array } {
    const kept = new Uint32Array(rows.length);
    const bounds = new Uint32Array(pictures.length + 1);
    let size = 0;
    for (const [i, picture] of pictures.entries()) {
      const { scores } = this.#detected[picture];
      const own = rows.subarray(starts[i], starts[i + 1]).slice();
      if (own.length > 1) own.sort((a, b) => scores[b] - scores[a] || a - b);
      const best = own.subarray(0, this.#limit);
      kept.set(best, size);
      size += best.length;
      bounds[i + 1] = size;
    }
    return { starts: bounds, rows: kept.subarray(0, size) };
  }

  /** Reads the truths of one picture into the scratch, and counts those to be found. */
  #load({ pictures, starts, rows }: ClassRows, place: number, positives: Uint32Array): number {
    const { boxes, areas, crowd, ignored } = this.#truth[pictures[place]];
    const count = starts[place + 1] - starts[place];
    if (this.#areas.length < count) {
      this.#boxes = new Float64Array(count * 8);
      this.#areas = new Float64Array(count * 2);
      this.#crowd = new Uint8Array(count * 2);
      this.#excluded = new Uint8Array(count * 2);
      this.#taken = new Uint16Array(count * 2 * ranges.length);
    }
    this.#taken.fill(0, 0, count * ranges.length);
    for (let g = 0; g < count; g++) {
      const row = rows[starts[place] + g];
      for (let k = 0; k < 4; k++) this.#boxes[4 * g + k] = boxes[4 * row + k];
      this.#areas[g] = boxAreaAt(this.#boxes, g);
      const area = areas ? areas[row] : this.#areas[g];
      this.#crowd[g] = crowd?.[row] ? 1 : 0;
      const never = Boolean(this.#crowd[g] || ignored?.[row]);
      this.#excluded[g] = 0;
      for (const [a, [low, high]] of ranges.entries()) {
        if (never || area < low || area > high) this.#excluded[g] |= 1 << a;
        else positives[a]++;
      }
    }
    return count;
  }

  /** Gives one detection the best truth still free, at each threshold and in each area range. */
  #matchOne(boxes: ArrayLike<number>, row: number, truths: number, matches: ClassMatches, at: number): void {
    const size = matches.scores.length;
    const area = boxAreaAt(boxes, row);
    const candidates: number[] = [];
    const ious: number[] = [];
    let highest = 0;
    for (let g = 0; g < truths; g++) {
      const iou = this.#iou(boxes, row, area, g);
      if (iou < cocoIouThresholds[0]) continue;
      candidates.push(g);
      ious.push(iou);
      if (iou > highest) highest = iou;
    }
    for (let a = 0; a < ranges.length; a++) {
      let matched = 0;
      let ignored = 0;
      for (let t = 0; t < cocoIouThresholds.length; t++) {
        if (highest < cocoIouThresholds[t]) break;
        const best = this.#best(candidates, ious, a, t, truths);
        if (best < 0) continue;
        matched |= 1 << t;
        if (this.#excluded[best] & (1 << a)) ignored |= 1 << t;
        this.#taken[a * truths + best] |= 1 << t;
      }
      const outside = area < ranges[a][0] || area > ranges[a][1];
      matches.matched[a * size + at] = matched;
      matches.ignored[a * size + at] = outside ? ignored | (~matched & 0x3ff) : ignored;
    }
  }

  /** The free truth of the highest IoU (the last of equals); those to be found are preferred to all others. */
  #best(candidates: readonly number[], ious: readonly number[], a: number, t: number, truths: number): number {
    for (let excluded = 0; excluded <= 1; excluded++) {
      let best = -1;
      let highest = cocoIouThresholds[t];
      for (let c = 0; c < candidates.length; c++) {
        const g = candidates[c];
        if (((this.#excluded[g] >> a) & 1) !== excluded) continue;
        if (ious[c] < highest || ((this.#taken[a * truths + g] >> t) & 1 && !this.#crowd[g])) continue;
        highest = ious[c];
        best = g;
      }
      if (best >= 0) return best;
    }
    return -1;
  }

  #iou(boxes: ArrayLike<number>, row: number, area: number, g: number): number {
    const known = this.#boxes;
    const width = Math.min(boxes[4 * row + 2], known[4 * g + 2]) - Math.max(boxes[4 * row], known[4 * g]);
    if (width <= 0) return 0;
    const height = Math.min(boxes[4 * row + 3], known[4 * g + 3]) - Math.max(boxes[4 * row + 1], known[4 * g + 1]);
    if (height <= 0) return 0;
    const shared = width * height;
    return shared / (this.#crowd[g] ? area : area + this.#areas[g] - shared);
  }
}

function boxAreaAt(boxes: ArrayLike<number>, row: number): number {
  return (boxes[4 * row + 2] - boxes[4 * row]) * (boxes[4 * row + 3] - boxes[4 * row + 1]);
}
