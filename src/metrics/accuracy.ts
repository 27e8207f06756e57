import { ShapeError } from "../core/errors.ts";

/**
 * The rank of each example's true class, 0 = best: the number of other classes whose score is not below its own. A tie
 * so counts against the model, and a model that gives every class the same score is never right. A NaN counts as the
 * worse case, too.
 *
 * @param scores row-major [N, classes]
 * @param labels [N], each in [0, classes)
 */
export function ranksOfLabels(scores: Float32Array, labels: ArrayLike<number>, classes: number): Int32Array {
  checkScores(scores, labels, classes);
  const ranks = new Int32Array(labels.length);
  for (let row = 0; row < labels.length; row++) {
    const start = row * classes;
    const own = scores[start + labels[row]];
    let rank = -1; // its own score is not below itself
    for (let i = start; i < start + classes; i++) if (!(scores[i] < own)) rank++;
    ranks[row] = rank;
  }
  return ranks;
}

/** The share of examples whose true class is among the best `k`, in [0, 1]. Ties as in `ranksOfLabels`. */
export function topKAccuracy(scores: Float32Array, labels: ArrayLike<number>, classes: number, k = 1): number {
  const ranks = ranksOfLabels(scores, labels, classes);
  return ranks.reduce((hits, rank) => hits + (rank < k ? 1 : 0), 0) / ranks.length;
}

/** One class's share of right answers. */
export interface ClassAccuracy {
  readonly hits: number;
  readonly count: number; // examples of the class
  readonly accuracy: number; // in [0, 1]; NaN without an example
}

/** The top-1 accuracy among the examples of each class, in class order. Ties as in `ranksOfLabels`. */
export function perClassAccuracy(scores: Float32Array, labels: ArrayLike<number>, classes: number): ClassAccuracy[] {
  const ranks = ranksOfLabels(scores, labels, classes);
  const hits = new Float64Array(classes);
  const counts = new Float64Array(classes);
  for (let row = 0; row < labels.length; row++) {
    counts[labels[row]]++;
    if (ranks[row] === 0) hits[labels[row]]++;
  }
  return Array.from(counts, (count, c) => ({ hits: hits[c], count, accuracy: hits[c] / count }));
}

/**
 * The mean over classes of the top-1 accuracy among the examples of that class, in [0, 1]. Classes without an example
 * are left out.
 */
export function meanPerClassAccuracy(scores: Float32Array, labels: ArrayLike<number>, classes: number): number {
  const present = perClassAccuracy(scores, labels, classes).filter(({ count }) => count > 0);
  return present.reduce((sum, { accuracy }) => sum + accuracy, 0) / present.length;
}

/**
 * How often each class (row) was taken for each class (column), row-major [classes, classes]. The diagonal over the
 * total is the top-1 accuracy: in a tie the prediction is the first best class other than the true one.
 */
export function confusionMatrix(scores: Float32Array, labels: ArrayLike<number>, classes: number): Uint32Array {
  checkScores(scores, labels, classes);
  const matrix = new Uint32Array(classes * classes);
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row];
    const start = row * classes;
    let predicted = label;
    for (let c = 0; c < classes; c++) {
      if (c === label) continue;
      const [score, best] = [scores[start + c], scores[start + predicted]];
      const better = predicted === label ? !(score < best) : score > best;
      if (better) predicted = c;
    }
    matrix[label * classes + predicted]++;
  }
  return matrix;
}

function checkScores(scores: Float32Array, labels: ArrayLike<number>, classes: number): void {
  const count = labels.length;
  if (count === 0 || scores.length !== count * classes) {
    throw new ShapeError(`Scores: must be [N, ${classes}] for N = ${count} > 0 labels, got ${scores.length} values.`);
  }
  for (let row = 0; row < count; row++) {
    const label = labels[row];
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new ShapeError(`Labels: must be integers in [0, ${classes}), got ${label} at ${row}.`);
    }
  }
}
