import { ShapeError } from "../core/errors.ts";

/**
 * Average precision of one class over a ranking, read at the 11 recalls 0, 0.1, …, 1, each with the best precision at
 * that recall or a higher one (PASCAL VOC 2007). Of equal scores the negatives come first, so a constant model gets
 * the share of positives, which is chance. NaN when there is no positive.
 *
 * @param truth 1 = positive, 0 = negative, −1 = left out (VOC's "difficult")
 */
export function elevenPointAveragePrecision(scores: ArrayLike<number>, truth: ArrayLike<number>): number {
  const ranking = rankPessimistically(scores, truth);
  const positives = ranking.reduce((count, positive) => count + positive, 0);
  if (positives === 0) return Number.NaN;
  const best = new Float64Array(11); // best precision at each recall 0, 0.1, …
  let found = 0;
  for (const [place, positive] of ranking.entries()) {
    if (!positive) continue;
    found++;
    const precision = found / (place + 1);
    // Integers, because 0.1 · 3 as a float is above 0.3 and would miss a recall that is reached exactly.
    for (let tenth = 0; tenth * positives <= found * 10 && tenth <= 10; tenth++) {
      if (precision > best[tenth]) best[tenth] = precision;
    }
  }
  return best.reduce((sum, precision) => sum + precision, 0) / 11;
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
