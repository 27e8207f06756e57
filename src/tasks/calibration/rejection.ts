import { ShapeError } from "../../core/errors.ts";
import { type Interval, wilsonInterval } from "../../metrics/intervals.ts";
import { areaUnderRocWithInterval, type RocCurve, rocCurve } from "../../metrics/roc.ts";

/**
 * The highest threshold that accepts at least `acceptance` of the known examples: a picture is accepted when its score
 * is not below. With few examples it is the lowest of their scores.
 *
 * @param known       [N] scores of pictures of the labels, N > 0
 * @param acceptance  wanted share of true acceptances, in (0, 1]
 */
export function learnThreshold(known: ArrayLike<number>, acceptance: number): number {
  if (known.length === 0 || !(acceptance > 0 && acceptance <= 1)) {
    const got = `${known.length} scores, ${acceptance}`;
    throw new ShapeError(`Threshold: needs known examples and an acceptance in (0, 1], got ${got}.`);
  }
  const falling = Float64Array.from(Array.from(known)).sort().reverse();
  // 0.95 · 20 is 19.000000000000004 in floats: a hair must not ask for one more.
  return falling[Math.ceil(acceptance * falling.length - 1e-9) - 1];
}

/** What a threshold does to examples: shares with their 95 % intervals (Wilson). */
export interface AcceptanceReport {
  readonly trueAcceptance: number; // of pictures of the labels
  readonly trueAcceptanceInterval: Interval;
  /** The rest is there where pictures of none of the labels were given. */
  readonly unknown?: {
    readonly falseAcceptance: number;
    readonly falseAcceptanceInterval: Interval;
    readonly areaUnderRoc: number;
    readonly areaInterval: Interval;
    readonly roc: RocCurve;
  };
}

/** Measures a threshold on pictures of the labels (`known`) and of none of them (`unknown`, may be empty). */
export function reportAcceptance(
  known: readonly number[],
  unknown: readonly number[],
  threshold: number,
): AcceptanceReport {
  const accepted = (scores: readonly number[]) => scores.filter((score) => score >= threshold).length;
  const base = {
    trueAcceptance: accepted(known) / known.length,
    trueAcceptanceInterval: wilsonInterval(accepted(known), known.length),
  };
  if (unknown.length === 0) return base;
  const scores = [...known, ...unknown];
  const truth = scores.map((_, i) => (i < known.length ? 1 : 0));
  const { area, interval } = areaUnderRocWithInterval(scores, truth);
  return {
    ...base,
    unknown: {
      falseAcceptance: accepted(unknown) / unknown.length,
      falseAcceptanceInterval: wilsonInterval(accepted(unknown), unknown.length),
      areaUnderRoc: area,
      areaInterval: interval,
      roc: rocCurve(scores, truth),
    },
  };
}
