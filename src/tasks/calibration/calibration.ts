import { ShapeError } from "../../core/errors.ts";
import { expectedCalibrationError, negativeLogLikelihood, topPredictions } from "../../metrics/calibration.ts";
import {
  acceptanceScore,
  type RejectionMethod,
  type RejectionRule,
  rejectionMethods,
  type ScoredPicture,
} from "./acceptance-score.ts";
import { type AcceptanceReport, learnThreshold, reportAcceptance } from "./rejection.ts";
import { type CalibrationExample, type FittedRejection, fitRejection, folds, isAvailable } from "./rejection-fit.ts";
import { correctedProbabilities, fitTemperature, type LogitCorrection } from "./temperature.ts";

/** Corrected probabilities, and when a picture shows none of the labels. */
export interface Calibration {
  readonly correction: LogitCorrection;
  readonly rejection?: { readonly rule: RejectionRule; readonly threshold: number };
}

export interface CalibrationOptions {
  readonly classes: number;
  readonly withBias?: boolean;
  /** How to reject: a method, or the one that tells the examples apart best; left out, nothing is rejected. */
  readonly method?: RejectionMethod | "best";
  readonly acceptance?: number; // wanted share of true acceptances, 0.9 by default
  readonly signal?: AbortSignal;
}

/** How good the probabilities are: errors over the pictures of the labels. */
export interface CalibrationScores {
  readonly calibrationError: number;
  readonly negativeLogLikelihood: number;
}

/** What the examples themselves say of a calibration. */
export interface CalibrationReport {
  readonly examples: number; // of the labels
  readonly before: CalibrationScores;
  readonly after: CalibrationScores; // on the examples it was fitted on
  /** On examples it was not fitted on, by folds; absent with fewer than two examples. */
  readonly heldOut?: CalibrationScores;
  /** By the scores of folds; of the chosen method. */
  readonly acceptance?: AcceptanceReport;
  /** Every method that was tried, with its area under the ROC over folds where there are outside examples. */
  readonly tried?: readonly (FittedRejection & { readonly threshold: number })[];
}

/** One picture's answer after calibration. */
export interface Judgement {
  readonly probabilities: Float64Array; // [classes], sum to 1
  readonly rejection?: { readonly score: number; readonly rejected: boolean };
}

/** Fits a calibration on a few labelled pictures and measures what it does to them, before and after. */
export async function fitCalibration(
  examples: readonly CalibrationExample[],
  { classes, method, acceptance = 0.9, ...options }: CalibrationOptions,
): Promise<{ calibration: Calibration; report: CalibrationReport }> {
  const known = examples.filter(({ label }) => label >= 0);
  if (known.length === 0) throw new ShapeError("Calibration: needs an example of the labels, got none.");
  const width = known[0].logits.length;
  const odd = examples.find(({ logits, label }) => logits.length !== width || width < classes || label >= classes);
  if (odd) {
    const got = `${odd.logits.length} logits and label ${odd.label}`;
    throw new ShapeError(`Calibration: examples must have ${width} ≥ ${classes} logits and such labels, got ${got}.`);
  }
  const correct = (part: readonly CalibrationExample[]) =>
    fitTemperature(
      part.flatMap(({ logits }) => Array.from({ length: classes }, (_, k) => logits[k])),
      part.map(({ label }) => label),
      classes,
      options,
    );
  const correction = await correct(known);
  const identity: LogitCorrection = { scale: 1, bias: new Array<number>(classes).fill(0) };
  const heldOut = await crossValidate(known, correct);
  const report: CalibrationReport = {
    examples: known.length,
    before: scoreProbabilities(known, () => identity),
    after: scoreProbabilities(known, () => correction),
    ...(heldOut ? { heldOut: scoreProbabilities(known, (i) => heldOut[i % folds]) } : {}),
  };
  if (!method) return { calibration: { correction }, report };
  const outside = examples.length - known.length;
  const available = rejectionMethods.filter((one) => isAvailable(one, { backgrounds: width - classes, outside }));
  const tried = [];
  for (const one of method === "best" ? available : [method]) {
    const fitted = await fitRejection(one, examples, correction, options.signal);
    tried.push({ ...fitted, threshold: learnThreshold(fitted.known, acceptance) });
  }
  const chosen = bestOf(tried);
  return {
    calibration: { correction, rejection: { rule: chosen.rule, threshold: chosen.threshold } },
    report: { ...report, acceptance: reportAcceptance(chosen.known, chosen.unknown, chosen.threshold), tried },
  };
}

/** Applies a calibration to one picture. */
export function judge({ correction, rejection }: Calibration, picture: ScoredPicture): Judgement {
  const probabilities = correctedProbabilities(picture.logits, correction);
  if (!rejection) return { probabilities };
  const score = acceptanceScore(rejection.rule, picture, correction);
  return { probabilities, rejection: { score, rejected: !(score >= rejection.threshold) } };
}

/**
 * The method of the largest area under the ROC. Without outside examples there is nothing to choose by: then background
 * prompts if there are any, else likeness to the examples.
 */
function bestOf<Fit extends FittedRejection>(tried: readonly Fit[]): Fit {
  if (tried.length > 1 && tried[0].areaUnderRoc === undefined) {
    const find = (wanted: RejectionMethod) => tried.find(({ rule }) => rule.method === wanted);
    return find("background-share") ?? find("example-likeness") ?? tried[0];
  }
  return tried.reduce((best, one) => ((one.areaUnderRoc ?? 0) > (best.areaUnderRoc ?? 0) ? one : best));
}

/** A correction for each fold, fitted on the others; the fold of example i is i modulo their number. */
async function crossValidate(
  examples: readonly CalibrationExample[],
  correct: (part: readonly CalibrationExample[]) => Promise<LogitCorrection>,
): Promise<LogitCorrection[] | undefined> {
  if (examples.length < 2) return undefined;
  const corrections: LogitCorrection[] = [];
  for (let fold = 0; fold < Math.min(folds, examples.length); fold++) {
    corrections.push(await correct(examples.filter((_, i) => i % folds !== fold)));
  }
  return corrections;
}

function scoreProbabilities(
  examples: readonly CalibrationExample[],
  correctionOf: (index: number) => LogitCorrection,
): CalibrationScores {
  const probabilities = examples.flatMap(({ logits }, i) => [...correctedProbabilities(logits, correctionOf(i))]);
  const labels = examples.map(({ label }) => label);
  const classes = probabilities.length / examples.length;
  return {
    calibrationError: expectedCalibrationError(topPredictions(probabilities, labels, classes)),
    negativeLogLikelihood: negativeLogLikelihood(probabilities, labels, classes),
  };
}
