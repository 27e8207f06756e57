import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";

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

export interface BootstrapOptions {
  readonly rounds?: number;
  readonly seed?: number | string;
  readonly level?: number; // share of the resampled statistics inside the interval
}

/**
 * The percentile bootstrap interval of a statistic over examples (Efron 1979, doi:10.1214/aos/1176344552): for metrics
 * without a formula, such as mean average precision, calibration error or the mean over classes. Rounds in which the
 * statistic is undefined (NaN: a resample without positives) are left out.
 *
 * @param count      number of examples
 * @param statistic  the metric over the examples at `rows` [count], repeats among them
 * @returns          NaN at both ends if the statistic was never defined
 */
export function bootstrapInterval(
  count: number,
  statistic: (rows: Uint32Array) => number,
  { rounds = 1000, seed = 0, level = 0.95 }: BootstrapOptions = {},
): Interval {
  if (!(count > 0 && rounds > 0 && level > 0 && level < 1)) {
    const got = `${count} examples, ${rounds} rounds, level ${level}`;
    throw new ShapeError(`Bootstrap: needs examples, rounds and a level in (0, 1), got ${got}.`);
  }
  const rng = new Rng(seed);
  const rows = new Uint32Array(count);
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < count; i++) rows[i] = rng.int(count);
    const value = statistic(rows);
    if (!Number.isNaN(value)) values.push(value);
  }
  if (values.length === 0) return [Number.NaN, Number.NaN];
  const sorted = Float64Array.from(values).sort();
  return [quantile(sorted, (1 - level) / 2), quantile(sorted, (1 + level) / 2)];
}

/** The value at `share` of a rising list, linear between neighbours as in numpy. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
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
