import type { CalibrateOptions, FinishedCalibration } from "../evaluation/calibration/calibrate.ts";
import type { CalibrationDraw } from "../evaluation/calibration/calibration-draw.ts";
import { isOfBoth } from "../evaluation/calibration/calibration-entries.ts";
import { alignedTable, percent } from "./evaluation-table.ts";

/** A finished calibration as the one JSON line of `florence calibrate`. */
export function calibrationJson(path: string, finished: FinishedCalibration, { labels, acceptance }: CalibrateOptions) {
  const { calibration, fittedOn, heldOut, draw, failed } = finished;
  const { before, after } = heldOut;
  const chosen = heldOut.rejections.find(({ isChosen }) => isChosen);
  return {
    calibration: path,
    labels,
    temperature: 1 / calibration.correction.scale,
    fitted: { ...fittedOn, ...(isOfBoth(draw) && { outsideFrom: draw.fittedOutside }) },
    heldOut: { pictures: heldOut.pictures, outside: heldOut.outside, top1: heldOut.top1, failed },
    calibrationError: { before: before.calibrationError, after: after.calibrationError, interval: after.interval },
    negativeLogLikelihood: { before: before.negativeLogLikelihood, after: after.negativeLogLikelihood },
    ...(chosen && {
      rejection: {
        method: chosen.method,
        threshold: chosen.threshold,
        wantedAcceptance: acceptance,
        trueAcceptance: chosen.atThreshold.trueAcceptance,
        ...(chosen.atThreshold.unknown && { rejected: 1 - chosen.atThreshold.unknown.falseAcceptance }),
        outsideDivision: draw.outsideDivision,
        methods: heldOut.rejections.map(({ method, atThreshold: { unknown }, rejectedAtAcceptance }) => ({
          method,
          ...(unknown && {
            areaUnderRoc: unknown.areaUnderRoc,
            interval: unknown.areaInterval,
            rejectedAtAcceptance,
          }),
        })),
      },
    }),
  };
}

function originOf(draw: CalibrationDraw): string {
  const { ofSet, ofOutsideSet } = draw.fittedOutside;
  return isOfBoth(draw) ? `: ${ofSet} of the set's other classes, ${ofOutsideSet} of --outside` : "";
}

/** A finished calibration for humans: errors before and after, and a table of the ways to reject. */
export function calibrationLines(finished: FinishedCalibration, { acceptance }: CalibrateOptions): string[] {
  const { calibration, fittedOn, heldOut, draw } = finished;
  const { before, after, rejections } = heldOut;
  const [low, high] = after.interval;
  const lines = [
    `fitted on ${fittedOn.pictures} pictures: temperature ${(1 / calibration.correction.scale).toFixed(3)}`,
    `calibration error on ${heldOut.pictures} others: ${percent(before.calibrationError)} before, ` +
      `${percent(after.calibrationError)} after (${percent(low)} – ${percent(high)}); top-1 ${percent(heldOut.top1)}`,
  ];
  const chosen = rejections.find(({ isChosen }) => isChosen);
  if (!chosen) return lines;
  const { unknown, trueAcceptance } = chosen.atThreshold;
  const rejected = unknown ? `, ${percent(1 - unknown.falseAcceptance)} of ${heldOut.outside} outside rejected` : "";
  lines.push(`"none of these" by ${chosen.method}: ${percent(trueAcceptance)} accepted${rejected}`);
  if (!unknown) return lines;
  lines.push(
    `outside pictures divided ${draw.outsideDivision}, ${fittedOn.outside} fitted on${originOf(draw)}`,
    ...alignedTable(
      ["method", "area under ROC", "95 % interval", `rejected at ${percent(acceptance)}`],
      rejections.map(({ method, isChosen, atThreshold: { unknown: own }, rejectedAtAcceptance }) => [
        isChosen ? `${method} *` : method,
        own ? own.areaUnderRoc.toFixed(3) : "",
        own ? `${own.areaInterval[0].toFixed(3)} – ${own.areaInterval[1].toFixed(3)}` : "",
        rejectedAtAcceptance === undefined ? "" : percent(rejectedAtAcceptance),
      ]),
    ),
  );
  return lines;
}
