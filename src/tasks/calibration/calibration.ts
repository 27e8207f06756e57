import { ShapeError } from "../../core/errors.ts";
import { expectedCalibrationError, negativeLogLikelihood, topPredictions } from "../../metrics/calibration.ts";
import {
  type AcceptanceReport,
  acceptanceScore,
  learnThreshold,
  type RejectionMethod,
  reportAcceptance,
} from "./rejection.ts";
import { correctedProbabilities, fitTemperature, type LogitCorrection } from "./temperature.ts";

/** Labelled logits of a model: [N, classes + backgrounds], row after row, and the true class of each row. */
export interface LabelledLogits {
  readonly logits: ArrayLike<number>;
  readonly labels: readonly number[]; // −1 = none of the classes
  readonly classes: number;
  readonly backgrounds?: number; // columns of background prompts after those of the classes
}

/** Corrected probabilities, and when a picture shows none of the labels. */
export interface Calibration {
  readonly correction: LogitCorrection;
  readonly rejection?: { readonly method: RejectionMethod; readonly threshold: number };
}

export interface CalibrationOptions {
  readonly withBias?: boolean;
  /** How to reject; left out, nothing is rejected. */
  readonly method?: RejectionMethod;
  readonly acceptance?: number; // wanted share of true acceptances, 0.95 by default
  readonly signal?: AbortSignal;
}

/** How good the probabilities are: errors over the pictures of the labels. */
export interface CalibrationScores {
  readonly calibrationError: number;
  readonly negativeLogLikelihood: number;
}

export interface CalibrationReport {
  readonly examples: number; // of the labels
  readonly before: CalibrationScores;
  readonly after: CalibrationScores; // on the examples it was fitted on
  /** On examples it was not fitted on, by folds; absent with fewer than two examples. */
  readonly heldOut?: CalibrationScores;
  readonly acceptance?: AcceptanceReport;
}

/** One picture's answer after calibration. */
export interface Judgement {
  readonly probabilities: Float64Array; // [classes], sum to 1
  readonly rejection?: { readonly score: number; readonly rejected: boolean };
}

const folds = 5;

/** Fits a calibration on a few labelled pictures and measures what it does, before and after. */
export async function fitCalibration(
  examples: LabelledLogits,
  { method, acceptance = 0.95, ...options }: CalibrationOptions = {},
): Promise<{ calibration: Calibration; report: CalibrationReport }> {
  const { classes } = examples;
  const rows = splitRows(examples);
  const known = rows.filter(({ label }) => label >= 0);
  if (known.length === 0) throw new ShapeError("Calibration: needs an example of the labels, got none.");
  const correct = (part: readonly LabelledRow[]) =>
    fitTemperature(
      part.flatMap(({ logits }) => logits.slice(0, classes)),
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
    ...(heldOut ? { heldOut: scoreProbabilities(known, (_, i) => heldOut[i % folds]) } : {}),
  };
  if (!method) return { calibration: { correction }, report };
  const score = ({ logits }: LabelledRow) => acceptanceScore(method, logits, correction);
  const threshold = learnThreshold(known.map(score), acceptance);
  const unknown = rows.filter(({ label }) => label < 0).map(score);
  return {
    calibration: { correction, rejection: { method, threshold } },
    report: { ...report, acceptance: reportAcceptance(known.map(score), unknown, threshold) },
  };
}

/** Applies a calibration to the logits of one picture, [classes + backgrounds]. */
export function judge({ correction, rejection }: Calibration, logits: ArrayLike<number>): Judgement {
  const probabilities = correctedProbabilities(logits, correction);
  if (!rejection) return { probabilities };
  const score = acceptanceScore(rejection.method, logits, correction);
  return { probabilities, rejection: { score, rejected: !(score >= rejection.threshold) } };
}

interface LabelledRow {
  readonly logits: readonly number[];
  readonly label: number;
}

function splitRows({ logits, labels, classes, backgrounds = 0 }: LabelledLogits): LabelledRow[] {
  const width = classes + backgrounds;
  if (logits.length !== labels.length * width) {
    const got = `${logits.length} for ${labels.length} labels`;
    throw new ShapeError(`Calibration: logits must be [N, ${width}], got ${got}.`);
  }
  return labels.map((label, row) => ({
    label,
    logits: Array.from({ length: width }, (_, i) => logits[row * width + i]),
  }));
}

/** A correction for each fold, fitted on the others; the fold of example i is i modulo their number. */
async function crossValidate(
  rows: readonly LabelledRow[],
  correct: (part: readonly LabelledRow[]) => Promise<LogitCorrection>,
): Promise<LogitCorrection[] | undefined> {
  if (rows.length < 2) return undefined;
  const corrections: LogitCorrection[] = [];
  for (let fold = 0; fold < Math.min(folds, rows.length); fold++) {
    corrections.push(await correct(rows.filter((_, i) => i % folds !== fold)));
  }
  return corrections;
}

function scoreProbabilities(
  rows: readonly LabelledRow[],
  correctionOf: (row: LabelledRow, index: number) => LogitCorrection,
): CalibrationScores {
  const probabilities = rows.flatMap((row, i) => [...correctedProbabilities(row.logits, correctionOf(row, i))]);
  const labels = rows.map(({ label }) => label);
  const classes = probabilities.length / rows.length;
  return {
    calibrationError: expectedCalibrationError(topPredictions(probabilities, labels, classes)),
    negativeLogLikelihood: negativeLogLikelihood(probabilities, labels, classes),
  };
}
