import {
  expectedCalibrationError,
  type ReliabilityBin,
  reliabilityCurve,
  type TopPredictions,
  topPredictions,
} from "../../metrics/calibration.ts";
import { bootstrapInterval, type Interval } from "../../metrics/intervals.ts";
import { acceptanceScore, type RejectionMethod, type RejectionRule } from "../../tasks/calibration/acceptance-score.ts";
import type { Calibration, CalibrationReport } from "../../tasks/calibration/calibration.ts";
import { type AcceptanceReport, learnThreshold, reportAcceptance } from "../../tasks/calibration/rejection.ts";
import { correctedProbabilities, type LogitCorrection } from "../../tasks/calibration/temperature.ts";
import type { ZeroShotClassifier } from "../../tasks/classification/label-probabilities.ts";
import type { EmbeddedPicture } from "./calibrate.ts";

/** How good probabilities are on the held-out pictures of the labels. */
export interface ProbabilityMeasures {
  readonly calibrationError: number; // 15 bins
  readonly interval: Interval; // 95 %, bootstrap
  readonly negativeLogLikelihood: number;
  readonly reliability: readonly ReliabilityBin[];
}

/** What one way to reject does to the held-out pictures. */
export interface RejectionMeasures {
  readonly method: RejectionMethod;
  readonly threshold: number; // as it was learned
  readonly atThreshold: AcceptanceReport;
  /** Share of outside pictures rejected by the threshold that accepts exactly the wanted share of these pictures. */
  readonly rejectedAtAcceptance?: number;
}

export interface CalibrationMeasures {
  readonly pictures: number; // of the labels
  readonly outside: number;
  readonly top1: number;
  readonly before: ProbabilityMeasures;
  readonly after: ProbabilityMeasures;
  /** Of every method tried, in the order of the fit; the chosen one is marked. */
  readonly rejections: readonly (RejectionMeasures & { readonly isChosen: boolean })[];
  /** Acceptance scores of the chosen method, by picture; for examples to show. */
  readonly scored: readonly { readonly picture: EmbeddedPicture; readonly score: number; readonly answer: number }[];
}

interface Measured {
  readonly calibration: Calibration;
  readonly report: CalibrationReport;
  readonly acceptance: number;
}

const bootstrapRounds = 300;

/** Measures a calibration on pictures that had no part in it, one after the other: logits are not kept. */
export function measureCalibration(
  pictures: readonly EmbeddedPicture[],
  classifier: ZeroShotClassifier,
  { calibration, report, acceptance }: Measured,
): CalibrationMeasures {
  const { correction, rejection } = calibration;
  const tried = report.tried ?? [];
  const identity: LogitCorrection = { scale: 1, bias: correction.bias.map(() => 0) };
  const [before, after] = [new ProbabilityTally(identity), new ProbabilityTally(correction)];
  const scores = tried.map(() => ({ known: [] as number[], unknown: [] as number[] }));
  const scored: CalibrationMeasures["scored"][number][] = [];
  for (const picture of pictures) {
    const { embedding, label } = picture;
    const seen = { embedding, logits: classifier.logits(embedding) };
    if (label >= 0) {
      before.add(seen.logits, label);
      after.add(seen.logits, label);
    }
    for (const [i, { rule }] of tried.entries()) {
      scores[i][label >= 0 ? "known" : "unknown"].push(acceptanceScore(rule, seen, correction));
    }
    if (rejection) {
      const answer = largestAt(correctedProbabilities(seen.logits, correction));
      scored.push({ picture, score: acceptanceScore(rejection.rule, seen, correction), answer });
    }
  }
  return {
    pictures: before.count,
    outside: pictures.length - before.count,
    top1: before.top1,
    before: before.measures(),
    after: after.measures(),
    rejections: tried.map(({ rule, threshold }, i) => ({
      ...rejectionMeasures(rule, threshold, scores[i], acceptance),
      isChosen: rule === rejection?.rule,
    })),
    scored,
  };
}

function rejectionMeasures(
  { method }: RejectionRule,
  threshold: number,
  { known, unknown }: { readonly known: readonly number[]; readonly unknown: readonly number[] },
  acceptance: number,
): RejectionMeasures {
  const atThreshold = reportAcceptance(known, unknown, threshold);
  if (unknown.length === 0) return { method, threshold, atThreshold };
  const exact = learnThreshold(known, acceptance);
  const rejected = unknown.filter((score) => !(score >= exact)).length;
  return { method, threshold, atThreshold, rejectedAtAcceptance: rejected / unknown.length };
}

/** Sums up answers under one correction. */
class ProbabilityTally {
  readonly #correction: LogitCorrection;
  readonly #confidences: number[] = [];
  readonly #correct: number[] = [];
  #logLikelihood = 0;

  constructor(correction: LogitCorrection) {
    this.#correction = correction;
  }

  get count(): number {
    return this.#correct.length;
  }

  get top1(): number {
    return this.#correct.reduce((sum, hit) => sum + hit, 0) / this.count;
  }

  add(logits: ArrayLike<number>, label: number): void {
    const probabilities = correctedProbabilities(logits, this.#correction);
    const { confidences, correct } = topPredictions(probabilities, [label], probabilities.length);
    this.#confidences.push(Math.min(1, confidences[0])); // a softmax can round to a hair above 1
    this.#correct.push(correct[0]);
    this.#logLikelihood += Math.log(Math.max(probabilities[label], Number.EPSILON));
  }

  measures(): ProbabilityMeasures {
    const top: TopPredictions = {
      confidences: Float64Array.from(this.#confidences),
      correct: Uint8Array.from(this.#correct),
    };
    const errorOf = (rows: Uint32Array) =>
      expectedCalibrationError({
        confidences: Float64Array.from(rows, (row) => top.confidences[row]),
        correct: Uint8Array.from(rows, (row) => top.correct[row]),
      });
    return {
      calibrationError: expectedCalibrationError(top),
      interval: bootstrapInterval(this.count, errorOf, { rounds: bootstrapRounds }),
      negativeLogLikelihood: -this.#logLikelihood / this.count,
      reliability: reliabilityCurve(top),
    };
  }
}

function largestAt(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
