import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";

/**
 * Average precision of one class over a ranking, read at the 11 recalls 0, 0.1, …, 1, each with the best precision at
 * that recall or a higher one (PASCAL VOC 2007). Of equal scores the negatives come first, so a constant model gets
 * the share of positives, which is chance. NaN when there is no positive.
 *
 * @param truth 1 = positive, 0 = negative, −1 = left out (VOC's "difficult")
 */
export function elevenPointAveragePrecision(scores: ArrayLike<number>, truth: ArrayLike<number>): number {
  const ranking = rankPessimistically(scores, truth);
  const places = Uint32Array.from([...ranking.keys()].filter((place) => ranking[place] === 1));
  return precisionOfPlaces(places);
}

/** The 11-point average precision of the places, rising and from 0, that the positives have in a ranking. */
function precisionOfPlaces(places: Uint32Array): number {
  const positives = places.length;
  if (positives === 0) return Number.NaN;
  const best = new Float64Array(11); // best precision at each recall 0, 0.1, …
  for (let i = 0; i < positives; i++) {
    const precision = (i + 1) / (places[i] + 1);
    // Integers, because 0.1 · 3 as a float is above 0.3 and would miss a recall that is reached exactly.
    for (let tenth = 0; tenth * positives <= (i + 1) * 10 && tenth <= 10; tenth++) {
      if (precision > best[tenth]) best[tenth] = precision;
    }
  }
  return best.reduce((sum, precision) => sum + precision, 0) / 11;
}

const mostRankings = 2000;
const fewestRankings = 20; // enough where positives are so many that rankings hardly differ
const rankedPositives = 2e5;

/**
 * The 11-point average precision that a ranking by chance has in the mean: the share of positives where they are many,
 * but more where they are few, for the best precision counts at each recall. The mean of 2,000 random
 * rankings, of 200 for 1,000 positives; always the same ones.
 *
 * @returns NaN if there is no positive
 */
export function elevenPointChance(count: number, positives: number): number {
  if (positives === 0) return Number.NaN;
  const rng = new Rng(`chance ${count} ${positives}`);
  const rankings = Math.max(fewestRankings, Math.min(mostRankings, Math.floor(rankedPositives / positives)));
  let sum = 0;
  for (let i = 0; i < rankings; i++) sum += precisionOfPlaces(drawPlaces(count, positives, rng));
  return sum / rankings;
}

/** Some of `count` places, all draws being equally likely, in rising order. Floyd's method. */
function drawPlaces(count: number, chosen: number, rng: Rng): Uint32Array {
  const places = new Set<number>();
  for (let last = count - chosen; last < count; last++) {
    const place = rng.int(last + 1);
    places.add(places.has(place) ? last : place);
  }
  return Uint32Array.from(places).sort();
}

/**
 * Mean of the 11-point average precision over classes, in [0, 1]; classes without a positive are left out.
 *
 * @param scores row-major [N, classes]
 * @param truth row-major [N, classes], coded as for one class
 */
export function elevenPointMeanAveragePrecision(
  scores: ArrayLike<number>,
  truth: ArrayLike<number>,
  classes: number,
): number {
  if (scores.length !== truth.length || scores.length % classes !== 0) {
    const sizes = `${scores.length} and ${truth.length} values`;
    throw new ShapeError(`Average precision: scores and truth must both be [N, ${classes}], got ${sizes}.`);
  }
  const rows = scores.length / classes;
  const column = (matrix: ArrayLike<number>, c: number) =>
    Array.from({ length: rows }, (_, row) => matrix[row * classes + c]);
  const all = Array.from({ length: classes }, (_, c) =>
    elevenPointAveragePrecision(column(scores, c), column(truth, c)),
  );
  const defined = all.filter((precision) => !Number.isNaN(precision));
  return defined.reduce((sum, precision) => sum + precision, 0) / defined.length;
}

/** The truth (1 or 0) in falling order of score, left-out examples removed; a NaN score goes where it hurts. */
function rankPessimistically(scores: ArrayLike<number>, truth: ArrayLike<number>): number[] {
  if (scores.length !== truth.length) {
    throw new ShapeError(`Average precision: needs a truth per score, got ${truth.length} for ${scores.length}.`);
  }
  const examples = Array.from({ length: scores.length }, (_, i) => {
    const worst = truth[i] === 1 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    return { score: Number.isNaN(scores[i]) ? worst : scores[i], positive: truth[i] };
  }).filter(({ positive }) => positive >= 0);
  examples.sort((a, b) => (a.score === b.score ? a.positive - b.positive : a.score < b.score ? 1 : -1));
  return examples.map(({ positive }) => positive);
}
