import { ShapeError } from "../core/errors.ts";

/** One bin of a reliability curve: the examples whose confidence lies in (low, high]; 0 itself is in the first. */
export interface ReliabilityBin {
  readonly low: number;
  readonly high: number;
  readonly count: number;
  readonly confidence: number; // mean in the bin; NaN when it is empty
  readonly accuracy: number; // share of right answers in the bin; NaN when it is empty
}

/** The probability of each example's top class, and whether that class is the true one. */
export interface TopPredictions {
  readonly confidences: Float64Array; // [N]
  readonly correct: Uint8Array; // [N], 1 = right. A tie with another class counts as wrong
}

const defaultBins = 15;

/**
 * The top class of every row of probabilities.
 *
 * @param probabilities  row-major [N, classes], in [0, 1]
 * @param labels         [N], each in [0, classes); −1 = of none of the classes, so that any answer is wrong
 */
export function topPredictions(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  classes: number,
): TopPredictions {
  checkRows(probabilities, labels, classes);
  const confidences = new Float64Array(labels.length);
  const correct = new Uint8Array(labels.length);
  for (let row = 0; row < labels.length; row++) {
    let best = 0;
    let isTied = false;
    const at = (c: number) => probabilities[row * classes + c];
    for (let c = 1; c < classes; c++) {
      if (at(c) > at(best)) {
        best = c;
        isTied = false;
      } else if (at(c) === at(best)) isTied = true;
    }
    confidences[row] = at(best);
    correct[row] = best === labels[row] && !isTied ? 1 : 0;
  }
  return { confidences, correct };
}

/** Accuracy against confidence in equal-width bins of [0, 1] (Guo et al., arXiv:1706.04599). */
export function reliabilityCurve({ confidences, correct }: TopPredictions, bins = defaultBins): ReliabilityBin[] {
  if (!Number.isInteger(bins) || bins < 1 || confidences.length === 0 || correct.length !== confidences.length) {
    const got = `${bins} bins, ${confidences.length} confidences, ${correct.length} answers`;
    throw new ShapeError(`Reliability: needs bins ≥ 1 and one answer per confidence, got ${got}.`);
  }
  const counts = new Float64Array(bins);
  const sums = new Float64Array(bins);
  const hits = new Float64Array(bins);
  for (const [i, confidence] of confidences.entries()) {
    if (!(confidence >= 0 && confidence <= 1)) {
      throw new ShapeError(`Reliability: confidences must lie in [0, 1], got ${confidence} at ${i}.`);
    }
    const bin = Math.max(0, Math.ceil(confidence * bins) - 1);
    counts[bin]++;
    sums[bin] += confidence;
    hits[bin] += correct[i];
  }
  return Array.from(counts, (count, b) => ({
    low: b / bins,
    high: (b + 1) / bins,
    count,
    confidence: sums[b] / count,
    accuracy: hits[b] / count,
  }));
}

/** Expected calibration error, in [0, 1]: the mean over examples of |accuracy − confidence| of their bin. */
export function expectedCalibrationError(predictions: TopPredictions, bins = defaultBins): number {
  const total = predictions.confidences.length;
  return reliabilityCurve(predictions, bins)
    .filter(({ count }) => count > 0)
    .reduce((sum, { count, confidence, accuracy }) => sum + (count / total) * Math.abs(accuracy - confidence), 0);
}

/**
 * Mean negative log-likelihood of the true classes, in nats; a probability of 0 counts as 2⁻⁵², the spacing of doubles
 * at 1, so that one impossible answer costs 36 nats and not infinity.
 *
 * @param probabilities  row-major [N, classes], rows that sum to 1
 */
export function negativeLogLikelihood(
  probabilities: ArrayLike<number>,
  labels: ArrayLike<number>,
  classes: number,
): number {
  checkRows(probabilities, labels, classes);
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row];
    if (label < 0) throw new ShapeError(`Likelihood: every label must be a class, got ${label} at ${row}.`);
    sum -= Math.log(Math.max(probabilities[row * classes + label], Number.EPSILON));
  }
  return sum / labels.length;
}

function checkRows(probabilities: ArrayLike<number>, labels: ArrayLike<number>, classes: number): void {
  if (labels.length === 0 || probabilities.length !== labels.length * classes) {
    const got = `${probabilities.length} for ${labels.length} labels`;
    throw new ShapeError(`Probabilities: must be [N, ${classes}] for N > 0 labels, got ${got}.`);
  }
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row];
    if (!Number.isInteger(label) || label < -1 || label >= classes) {
      throw new ShapeError(`Labels: must be integers in [-1, ${classes}), got ${label} at ${row}.`);
    }
  }
}
