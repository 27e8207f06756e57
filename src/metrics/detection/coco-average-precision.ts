import { descendingOrder } from "../../core/non-max-suppression.ts";
import { type ClassMatches, CocoMatcher, cocoAreaRanges, cocoIouThresholds } from "./coco-matching.ts";
import { checkPictures, type DetectedBoxes, type TruthBoxes } from "./detection-boxes.ts";

/** COCO's scores of one class, or of all; each in [0, 1], NaN where there is nothing to be found. */
export interface CocoScores {
  readonly ap: number; // mean over the IoU thresholds 0.50, 0.55, …, 0.95
  readonly ap50: number;
  readonly ap75: number;
  readonly apSmall: number; // truths of at most 32² pixels
  readonly apMedium: number; // of 32² to 96²
  readonly apLarge: number; // of 96² and more
  readonly ar1: number; // recall with one detection of a class a picture, mean over the thresholds
  readonly ar10: number;
  readonly ar100: number;
  readonly arSmall: number;
  readonly arMedium: number;
  readonly arLarge: number;
}

export interface ClassCocoScores extends CocoScores {
  readonly class: number;
  readonly truths: number; // to be found: neither crowd nor ignored
  readonly detections: number; // taken: at most 100 a picture
}

export interface CocoResult extends CocoScores {
  readonly perClass: readonly ClassCocoScores[];
}

const LIMITS = [1, 10, 100] as const; // detections of a class in a picture
const RECALL_POINTS = 101;
const areaNames = Object.keys(cocoAreaRanges) as (keyof typeof cocoAreaRanges)[];

/**
 * COCO's box metrics, equal to pycocotools' `COCOeval`. Lin et al., arXiv:1405.0312.
 * Differs: truths may be marked as ignored without being crowds, what is undefined is NaN instead of −1, and an
 * annotation whose id is 0 counts as any other.
 *
 * @param truth     one entry a picture
 * @param detected  one entry a picture, in the same order
 * @throws          ShapeError if the two do not fit each other
 */
export function cocoAveragePrecision(
  truth: readonly TruthBoxes[],
  detected: readonly DetectedBoxes[],
  { classes }: { readonly classes: number },
): CocoResult {
  checkPictures("cocoAveragePrecision", truth, detected, classes);
  const matcher = new CocoMatcher(truth, detected, { classes, limit: LIMITS[2] });
  const perClass = Array.from({ length: classes }, (_, ofClass) => scoreClass(matcher.match(ofClass), ofClass));
  const mean = (name: keyof CocoScores) => meanOfDefined(perClass.map((scores) => scores[name]));
  return {
    ap: mean("ap"),
    ap50: mean("ap50"),
    ap75: mean("ap75"),
    apSmall: mean("apSmall"),
    apMedium: mean("apMedium"),
    apLarge: mean("apLarge"),
    ar1: mean("ar1"),
    ar10: mean("ar10"),
    ar100: mean("ar100"),
    arSmall: mean("arSmall"),
    arMedium: mean("arMedium"),
    arLarge: mean("arLarge"),
    perClass,
  };
}

/**
 * The mean precision at the recalls 0, 0.01, …, 1, each with the best precision at that recall or a higher one.
 *
 * @param precisions  at each true positive, in falling order of score; overwritten
 * @param positives   truths to be found, at least 1
 */
export function interpolatedPrecision(precisions: Float64Array, positives: number): number {
  for (let i = precisions.length - 1; i > 0; i--) {
    if (precisions[i] > precisions[i - 1]) precisions[i - 1] = precisions[i];
  }
  let sum = 0;
  let found = 1; // true positives seen, which is the least that has a place in the ranking
  for (let point = 0; point < RECALL_POINTS; point++) {
    const recall = point === RECALL_POINTS - 1 ? 1 : point * 0.01; // as numpy.linspace rounds it
    while (found <= precisions.length && found / positives < recall) found++;
    if (found > precisions.length) break; // never reached: precision 0 from here on
    sum += precisions[found - 1];
  }
  return sum / RECALL_POINTS;
}

function scoreClass(matches: ClassMatches, ofClass: number): ClassCocoScores {
  const order = descendingOrder(matches.scores);
  const [all, small, medium, large] = areaNames.map((_, a) => precisionAndRecall(matches, order, a));
  return {
    class: ofClass,
    truths: matches.positives[0],
    detections: matches.scores.length,
    ap: mean(all.precision),
    ap50: all.precision[0],
    ap75: all.precision[5],
    apSmall: mean(small.precision),
    apMedium: mean(medium.precision),
    apLarge: mean(large.precision),
    ar1: recallWithin(matches, LIMITS[0]),
    ar10: recallWithin(matches, LIMITS[1]),
    ar100: mean(all.recall),
    arSmall: mean(small.recall),
    arMedium: mean(medium.recall),
    arLarge: mean(large.recall),
  };
}

/** Average precision and final recall at each IoU threshold, in one area range; all NaN without a positive. */
function precisionAndRecall(matches: ClassMatches, order: Uint32Array, a: number) {
  const positives = matches.positives[a];
  const size = order.length;
  const precision = new Float64Array(cocoIouThresholds.length).fill(Number.NaN);
  const recall = precision.slice();
  if (positives === 0) return { precision, recall };
  const matched = matches.matched.subarray(a * size, (a + 1) * size);
  const ignored = matches.ignored.subarray(a * size, (a + 1) * size);
  const precisions = new Float64Array(Math.min(size, positives));
  for (let t = 0; t < cocoIouThresholds.length; t++) {
    let hits = 0;
    let misses = 0;
    for (let i = 0; i < size; i++) {
      const at = order[i];
      if ((ignored[at] >> t) & 1) continue;
      if (((matched[at] >> t) & 1) === 0) misses++;
      else {
        hits++;
        precisions[hits - 1] = hits / (misses + hits + Number.EPSILON);
      }
    }
    precision[t] = interpolatedPrecision(precisions.subarray(0, hits), positives);
    recall[t] = hits / positives;
  }
  return { precision, recall };
}

/** Recall with the `limit` surest detections of each picture, mean over the thresholds. */
function recallWithin({ ranks, matched, ignored, positives }: ClassMatches, limit: number): number {
  if (positives[0] === 0) return Number.NaN;
  let hits = 0;
  for (let at = 0; at < ranks.length; at++) {
    if (ranks[at] >= limit) continue;
    for (let bits = matched[at] & ~ignored[at]; bits > 0; bits &= bits - 1) hits++;
  }
  return hits / positives[0] / cocoIouThresholds.length;
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

function meanOfDefined(values: readonly number[]): number {
  return mean(values.filter((value) => !Number.isNaN(value)));
}
