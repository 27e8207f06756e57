import { UserError } from "../../core/errors.ts";
import type { RejectionMethod } from "../../tasks/calibration/acceptance-score.ts";
import { type CalibrationReport, fitCalibration } from "../../tasks/calibration/calibration.ts";
import type { StoredCalibration } from "../../tasks/calibration/calibration-file.ts";
import type { CalibrationExample } from "../../tasks/calibration/rejection-fit.ts";
import type { ZeroShotClassifier } from "../../tasks/classification/label-probabilities.ts";
import { zeroShotClassifier } from "../../tasks/classification/zero-shot-classifier.ts";
import type { EvaluationContext } from "../evaluation-task.ts";
import { imageRows } from "../image-rows.ts";
import {
  type CalibrationDraw,
  type DrawnPicture,
  type DrawOptions,
  drawCalibration,
  type TunedOnCounts,
} from "./calibration-draw.ts";
import { type CalibrationMeasures, measureCalibration } from "./measure-calibration.ts";

export interface CalibrateOptions extends DrawOptions {
  readonly templates: readonly string[];
  readonly backgrounds: readonly string[];
  /** Left out, only probabilities are calibrated. */
  readonly method?: RejectionMethod | "best";
  readonly acceptance: number; // wanted share of true acceptances
  readonly withBias: boolean;
}

/** A calibration with what it does to pictures that had no part in it. */
export interface FinishedCalibration {
  readonly calibration: StoredCalibration;
  readonly fitted: CalibrationReport;
  readonly fittedOn: { readonly pictures: number; readonly outside: number };
  readonly heldOut: CalibrationMeasures;
  readonly draw: CalibrationDraw;
  readonly failed: number; // pictures that could not be used
}

/** A picture with its embedding. */
export interface EmbeddedPicture extends DrawnPicture {
  readonly embedding: Float32Array;
}

/**
 * Fits a calibration on some pictures of a labelled set, and outside pictures if there are any, and measures it on others.
 *
 * @throws UserError as {@link drawCalibration}; unsupported for models that judge each label by itself; bad-argument for a
 * method whose examples or prompts are missing
 */
export async function calibrate(context: EvaluationContext, options: CalibrateOptions): Promise<FinishedCalibration> {
  const { model, set, parts, signal } = context;
  if (model.scoring.kind === "sigmoid") {
    const rule = "calibrate: the model must choose among labels";
    throw new UserError("unsupported", `${rule}, got ${model.name}, which judges each by itself. Take another model.`);
  }
  const draw = drawCalibration(set, parts, { ...options, tunedOn: context.tunedOn });
  for (const warning of tunedOnWarnings(draw.tunedOn)) context.onWarning?.(`${set.name}: ${warning}`);
  checkMethod(options, draw);
  const { labels, templates, backgrounds } = options;
  const classifier = await zeroShotClassifier(model, [...labels, ...backgrounds], templates, {
    cacheFolder: context.cacheFolder,
    ...(signal && { signal }),
    ...(context.onWarning && { onWarning: context.onWarning }),
  });
  const fit = await embedPictures(context, draw.fit);
  const heldOut = await embedPictures(context, draw.heldOut);
  const examples = fit.pictures.map((picture) => exampleOf(picture, classifier));
  const { calibration, report } = await fitCalibration(examples, {
    classes: labels.length,
    withBias: options.withBias,
    acceptance: options.acceptance,
    ...(options.method && { method: options.method }),
    ...(signal && { signal }),
  });
  return {
    calibration: { ...calibration, backgrounds },
    fitted: report,
    fittedOn: { pictures: report.examples, outside: examples.length - report.examples },
    heldOut: measureCalibration(heldOut.pictures, classifier, { calibration, report, acceptance: options.acceptance }),
    draw,
    failed: fit.failed + heldOut.failed,
  };
}

function tunedOnWarnings({ leftOut, fitted, measured }: TunedOnCounts): string[] {
  return [
    ...(leftOut > 0 ? [`${leftOut} pictures that the model was tuned on are not fitted on.`] : []),
    ...(fitted > 0
      ? [`${fitted} pictures to fit on are of the model's tuning, so it is too sure of them. Calibrate on others.`]
      : []),
    ...(measured > 0
      ? [`${measured} pictures to measure on are of the model's tuning; the scores say little of others.`]
      : []),
  ];
}

function checkMethod({ method, backgrounds }: CalibrateOptions, { outsideDivision }: CalibrationDraw): void {
  if (method === "example-gate" && outsideDivision === "none") {
    throw new UserError(
      "bad-argument",
      "--reject-by example-gate: outside pictures are needed, got none. Add --outside.",
    );
  }
  if ((method === "background-margin" || method === "background-share") && backgrounds.length === 0) {
    throw new UserError("bad-argument", `--reject-by ${method}: prompts are needed, got none. Add --backgrounds.`);
  }
}

function exampleOf({ embedding, label, group }: EmbeddedPicture, classifier: ZeroShotClassifier): CalibrationExample {
  return { embedding, label, group, logits: classifier.logits(embedding) };
}

/** Embeds the pictures of each set, known ones from the cache; those that fail are reported and left out. */
async function embedPictures(
  context: EvaluationContext,
  drawn: readonly DrawnPicture[],
): Promise<{ pictures: EmbeddedPicture[]; failed: number }> {
  const pictures: EmbeddedPicture[] = [];
  let failed = 0;
  for (const set of new Set(drawn.map((one) => one.set))) {
    const own = drawn.filter((one) => one.set === set);
    const found = await imageRows(
      { ...context, set },
      own.map(({ image }) => image),
      "embedding",
    );
    const rowOf = new Map(found.images.map(({ key }, row) => [key, row]));
    for (const one of own) {
      const row = rowOf.get(one.image.key);
      if (row === undefined) continue;
      pictures.push({ ...one, embedding: found.rows.subarray(row * found.dim, (row + 1) * found.dim) });
    }
    failed += found.failed;
  }
  return { pictures, failed };
}
