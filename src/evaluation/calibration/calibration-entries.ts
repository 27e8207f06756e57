import { chanceAtK } from "../../metrics/intervals.ts";
import type { RocCurve } from "../../metrics/roc.ts";
import { type EvaluationDetails, writeDetails } from "../evaluation-details.ts";
import type { EvaluationContext } from "../evaluation-task.ts";
import type { Ledger } from "../ledger.ts";
import { type EntryIdentity, entryKey, hashOfTexts, type LedgerEntry } from "../ledger-entry.ts";
import { packageVersion } from "../run-evaluation.ts";
import type { CalibrateOptions, FinishedCalibration } from "./calibrate.ts";
import type { CalibrationDraw } from "./calibration-draw.ts";

type Measured = Pick<LedgerEntry, "metric" | "score" | "interval" | "chance" | "n" | "metrics"> & {
  readonly details: EvaluationDetails;
};

/**
 * Adds a calibration's held-out scores to a ledger: its calibration error (the lower, the better; `chance` is that of
 * saying 1/K of every answer), and the area under the ROC of its rejection if there were outside pictures to reject.
 */
export async function recordCalibration(
  context: EvaluationContext,
  ledger: Ledger,
  finished: FinishedCalibration,
  options: CalibrateOptions,
  seconds: number,
): Promise<LedgerEntry[]> {
  const { model, set, parts } = context;
  const { draw, fittedOn, failed } = finished;
  const common = {
    images: parts.testOrigin,
    labels: hashOfTexts(options.labels),
    templates: `${options.templates.length} × ${hashOfTexts(options.templates)}`,
    fittedOn: fittedOn.pictures,
    bias: options.withBias,
    // Named where there are such pictures, so that all other scores keep their place in the ledger.
    ...(draw.tunedOn.leftOut > 0 && { fittedWithoutTuned: draw.tunedOn.leftOut }),
    ...(draw.tunedOn.fitted > 0 && { fittedOnTuned: draw.tunedOn.fitted }),
    ...(draw.tunedOn.measured > 0 && { tunedOn: `${draw.tunedOn.measured} of ${parts.test.length}` }),
  };
  const rejecting = {
    outside: options.outside ? `${options.outside.set.name} × ${options.outside.set.fingerprint.slice(0, 16)}` : "own",
    outsideClasses: hashOfTexts([...new Set([...draw.fit, ...draw.heldOut].map(({ group }) => group))].sort()),
    outsideDivision: draw.outsideDivision,
    fittedOnOutside: fittedOn.outside,
    ...(isOfBoth(draw) && { fittedOnOtherClasses: draw.fittedOutside.ofSet }),
    ...(options.backgrounds.length > 0 && { backgrounds: hashOfTexts(options.backgrounds) }),
    acceptance: options.acceptance,
    rejectBy: options.method ?? "none",
  };
  const entries: LedgerEntry[] = [];
  for (const { details, ...measured } of measuredOf(finished)) {
    const isRejection = measured.metric === rejectionMetric;
    const protocol = isRejection ? { ...common, ...rejecting } : common;
    const identity: EntryIdentity = {
      ...{ task: "calibration", metric: measured.metric, protocol, seed: options.seed },
      model: { fingerprint: model.fingerprint },
      data: { fingerprint: set.fingerprint, split: "test" },
    };
    const entry: LedgerEntry = {
      ...{ task: "calibration", ...measured, failed },
      model: { name: model.name, fingerprint: model.fingerprint },
      data: { name: set.name, fingerprint: set.fingerprint, split: "test" },
      ...{ protocol, seed: options.seed },
      details: await writeDetails(ledger.path, entryKey(identity), details),
      ...{ version: packageVersion, seconds: Number(seconds.toFixed(3)), date: new Date().toISOString() },
    };
    ledger.append(entry);
    entries.push(entry);
  }
  return entries;
}

/** Whether outside pictures are both of the set's other classes and of an outside set. */
export function isOfBoth({ fittedOutside }: Pick<CalibrationDraw, "fittedOutside">): boolean {
  return fittedOutside.ofSet > 0 && fittedOutside.ofOutsideSet > 0;
}

const rejectionMetric = "rejection AUROC";

function measuredOf({ heldOut, calibration }: FinishedCalibration): Measured[] {
  const { before, after, top1, pictures, outside, rejections } = heldOut;
  const classes = calibration.correction.bias.length;
  const error: Measured = {
    metric: "calibration error",
    score: after.calibrationError,
    interval: after.interval,
    chance: Math.abs(top1 - chanceAtK(1, classes)),
    n: pictures,
    metrics: {
      "top-1": top1,
      "calibration error": after.calibrationError,
      "calibration error before": before.calibrationError,
      "negative log-likelihood": after.negativeLogLikelihood,
      "negative log-likelihood before": before.negativeLogLikelihood,
      temperature: 1 / calibration.correction.scale,
    },
    details: { reliability: after.reliability.filter(({ count }) => count > 0) },
  };
  const chosen = rejections.find(({ isChosen }) => isChosen);
  const unknown = chosen?.atThreshold.unknown;
  if (!chosen || !unknown) return [error];
  const rejection: Measured = {
    metric: rejectionMetric,
    score: unknown.areaUnderRoc,
    interval: unknown.areaInterval,
    chance: 0.5,
    n: pictures + outside,
    metrics: {
      [rejectionMetric]: unknown.areaUnderRoc,
      "true acceptance": chosen.atThreshold.trueAcceptance,
      "outside rejected": 1 - unknown.falseAcceptance,
      ...(chosen.rejectedAtAcceptance !== undefined && {
        "outside rejected at the wanted acceptance": chosen.rejectedAtAcceptance,
      }),
      "outside pictures": outside,
    },
    details: { roc: { points: rocPoints(unknown.roc), area: unknown.areaUnderRoc, of: "pictures" } },
  };
  return [error, rejection];
}

const mostPoints = 200;

/** A curve thinned for drawing: the first point, every so many of the others, and the last. */
export function rocPoints({ falsePositiveRate, truePositiveRate }: RocCurve): (readonly [number, number])[] {
  const rounded = (value: number) => Number(value.toFixed(4));
  const last = falsePositiveRate.length - 1;
  const places = Array.from({ length: Math.min(mostPoints, last) }, (_, i) => Math.floor((i * last) / mostPoints));
  const shown = last < mostPoints ? [...falsePositiveRate.keys()] : [...places, last];
  return shown.map((at) => [rounded(falsePositiveRate[at]), rounded(truePositiveRate[at])] as const);
}
