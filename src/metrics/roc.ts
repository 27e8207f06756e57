import { ShapeError } from "../core/errors.ts";
import type { Interval } from "./intervals.ts";

/** A receiver operating characteristic: what is accepted when everything that scores `thresholds[i]` or more is. */
export interface RocCurve {
  readonly thresholds: Float64Array; // falling; the first is +∞ (nothing accepted)
  readonly truePositiveRate: Float64Array; // share of positives accepted
  readonly falsePositiveRate: Float64Array; // share of negatives accepted
}

/**
 * The ROC curve of a score, one point for every distinct value.
 *
 * @param scores  [N], higher = more likely positive; a NaN goes where it hurts
 * @param truth   [N], 1 = positive, 0 = negative
 * @throws        ShapeError unless there is a positive and a negative
 */
export function rocCurve(scores: ArrayLike<number>, truth: ArrayLike<number>): RocCurve {
  const { ranked, positives, negatives } = rank(scores, truth);
  const points: [threshold: number, hits: number, alarms: number][] = [[Number.POSITIVE_INFINITY, 0, 0]];
  let [hits, alarms] = [0, 0];
  for (const [i, { score, positive }] of ranked.entries()) {
    if (positive) hits++;
    else alarms++;
    if (ranked[i + 1]?.score !== score) points.push([score, hits / positives, alarms / negatives]);
  }
  return {
    thresholds: Float64Array.from(points, ([threshold]) => threshold),
    truePositiveRate: Float64Array.from(points, ([, hit]) => hit),
    falsePositiveRate: Float64Array.from(points, ([, , alarm]) => alarm),
  };
}

/** Area under the ROC curve: the chance that a positive outscores a negative, ties counting half. In [0, 1]. */
export function areaUnderRoc(scores: ArrayLike<number>, truth: ArrayLike<number>): number {
  const { above, positives } = placements(scores, truth);
  return above.reduce((sum, share) => sum + share, 0) / positives;
}

/** The area under the ROC curve and its 95 % interval by DeLong et al. 1988 (doi:10.2307/2531595), within [0, 1]. */
export function areaUnderRocWithInterval(
  scores: ArrayLike<number>,
  truth: ArrayLike<number>,
): { area: number; interval: Interval } {
  const { above, below, positives, negatives } = placements(scores, truth);
  const area = above.reduce((sum, share) => sum + share, 0) / positives;
  const variance = sampleVariance(above, area) / positives + sampleVariance(below, area) / negatives;
  const half = 1.959963984540054 * Math.sqrt(variance);
  return { area, interval: [Math.max(0, area - half), Math.min(1, area + half)] };
}

interface Ranking {
  readonly ranked: readonly { readonly score: number; readonly positive: boolean }[]; // falling
  readonly positives: number;
  readonly negatives: number;
}

function rank(scores: ArrayLike<number>, truth: ArrayLike<number>): Ranking {
  if (scores.length !== truth.length) {
    throw new ShapeError(`ROC: needs a truth per score, got ${truth.length} for ${scores.length}.`);
  }
  const ranked = Array.from({ length: scores.length }, (_, i) => {
    const positive = truth[i] === 1;
    const worst = positive ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    return { score: Number.isNaN(scores[i]) ? worst : scores[i], positive };
  }).sort((a, b) => (a.score === b.score ? 0 : a.score < b.score ? 1 : -1));
  const positives = ranked.filter(({ positive }) => positive).length;
  const negatives = ranked.length - positives;
  if (positives === 0 || negatives === 0) {
    throw new ShapeError(`ROC: needs a positive and a negative, got ${positives} and ${negatives}.`);
  }
  return { ranked, positives, negatives };
}

/** For each positive the share of negatives it outscores, and for each negative the share of positives above it. */
function placements(scores: ArrayLike<number>, truth: ArrayLike<number>) {
  const { ranked, positives, negatives } = rank(scores, truth);
  const above: number[] = [];
  const below: number[] = [];
  let [hits, alarms] = [0, 0];
  for (let start = 0; start < ranked.length; ) {
    let end = start;
    while (end < ranked.length && ranked[end].score === ranked[start].score) end++;
    const tied = ranked.slice(start, end);
    const tiedHits = tied.filter(({ positive }) => positive).length;
    const tiedAlarms = tied.length - tiedHits;
    for (const { positive } of tied) {
      if (positive) above.push((negatives - alarms - tiedAlarms / 2) / negatives);
      else below.push((hits + tiedHits / 2) / positives);
    }
    hits += tiedHits;
    alarms += tiedAlarms;
    start = end;
  }
  return { above, below, positives, negatives };
}

function sampleVariance(values: readonly number[], mean: number): number {
  if (values.length < 2) return 0;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
}
