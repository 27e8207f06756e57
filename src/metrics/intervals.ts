import { ShapeError } from "../core/errors.ts";

/** A range [low, high]. */
export type Interval = readonly [low: number, high: number];

const Z_95 = 1.959963984540054; // two-sided 95 % of the normal distribution

/**
 * Wilson's score interval for a proportion of `successes` in `trials`, 95 % unless another `z` is given (Wilson 1927,
 * doi:10.1080/01621459.1927.10502953). Sound near 0 and 1, where mean ± z·σ is not.
 */
export function wilsonInterval(successes: number, trials: number, z = Z_95): Interval {
  if (!(trials > 0 && successes >= 0 && successes <= trials)) {
    throw new ShapeError(`Wilson interval: must be 0 ≤ successes ≤ trials, got ${successes} of ${trials}.`);
  }
  const share = successes / trials;
  const scale = 1 + (z * z) / trials;
  const centre = (share + (z * z) / (2 * trials)) / scale;
  const half = (z * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials))) / scale;
  // At the ends the exact bounds are 0 and 1; rounding must not leave them.
  return [successes === 0 ? 0 : centre - half, successes === trials ? 1 : centre + half];
}

/** The mean of `values` and its normal 95 % interval, mean ± 1.96·σ/√n with the population σ. */
export function meanWithInterval(values: ArrayLike<number>): { mean: number; interval: Interval } {
  const count = values.length;
  if (count === 0) throw new ShapeError("Mean: needs at least one value, got none.");
  let mean = 0;
  for (let i = 0; i < count; i++) mean += values[i] / count;
  let variance = 0;
  for (let i = 0; i < count; i++) variance += (values[i] - mean) ** 2 / count;
  const half = Z_95 * Math.sqrt(variance / count);
  return { mean, interval: [mean - half, mean + half] };
}

/** Chance level of top-k accuracy over `candidates` classes, and of recall at k with one right answer among them. */
export function chanceAtK(k: number, candidates: number): number {
  return Math.min(1, k / candidates);
}

/** Chance level of recall at k when `right` of n `candidates` count: 1 − C(n − right, k) / C(n, k). */
export function chanceAtKOfSeveral(k: number, candidates: number, right: number): number {
  let missed = 1;
  for (let drawn = 0; drawn < k; drawn++) missed *= Math.max(0, (candidates - right - drawn) / (candidates - drawn));
  return 1 - missed;
}
