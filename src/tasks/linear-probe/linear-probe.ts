import { UserError } from "../../core/errors.ts";
import { topKAccuracy } from "../../metrics/accuracy.ts";
import { elevenPointMeanAveragePrecision } from "../../metrics/average-precision.ts";
import { type FeatureRows, LogisticObjective, type Targets } from "../logistic-objective.ts";
import {
  fitLogisticRegression,
  fitObjective,
  type LinearClassifier,
  type LogisticFit,
} from "../logistic-regression.ts";
import { scoreRows } from "../score-rows.ts";
import { type SweepPoint, type SweepResult, sweepLambda } from "./lambda-sweep.ts";
import { holdOutRows, pickFeatures, pickTargets } from "./subsets.ts";

/** λ of the example in CLIP's README (C = 0.316): for sets too small to validate on. */
export const readmeLambda = 1 / 0.316;

/** Features of a frozen encoder and what they show. */
export interface ProbeExamples extends FeatureRows {
  readonly targets: Targets;
}

export interface ProbeProgress {
  readonly phase: "sweep" | "fit";
  readonly lambda: number;
  readonly iteration: number;
  readonly loss: number;
}

export interface LinearProbeOptions {
  /** Fixed L2 strength; left out, it is searched for. */
  readonly lambda?: number;
  /** Chooses λ, higher = better. Accuracy by default, 11-point mAP with several labels an example. */
  readonly metric?: ProbeMetric;
  /** Share of the training examples to choose λ on, where no validation examples are given. */
  readonly heldOutShare?: number;
  readonly seed?: number | string;
  readonly maxIterations?: number;
  readonly tolerance?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ProbeProgress) => void;
  /** Told of every λ that was tried; `known` takes them back when an interrupted sweep goes on. */
  readonly onPoint?: (point: SweepPoint) => void;
  readonly known?: readonly SweepPoint[];
}

/** A metric on scores [N, classes], higher = better. */
export type ProbeMetric = (scores: Float32Array, targets: Targets) => number;

export interface LinearProbe {
  readonly classifier: LinearClassifier;
  readonly fit: LogisticFit; // the last one, on all examples
  readonly sweep: SweepResult | undefined; // absent with a fixed λ
  /** What λ was chosen on. */
  readonly validation: "given" | "held out" | "none";
}

/**
 * CLIP's linear probe (Radford et al., arXiv:2103.00020, appendix A.3): logistic regression on frozen features, λ
 * searched on validation examples, then a fit on training and validation examples together.
 *
 * @param validation  left out, a stratified share of the training examples is held out for the search
 * @throws UserError (bad-argument) if there is nothing to choose λ on; the signal's reason when aborted
 */
export async function fitLinearProbe(
  train: ProbeExamples,
  validation: ProbeExamples | undefined,
  options: LinearProbeOptions = {},
): Promise<LinearProbe> {
  const all = validation ? concatExamples(train, validation) : train;
  const { lambda: fixed } = options;
  const sweep = fixed === undefined ? await searchLambda(train, validation, options) : undefined;
  const lambda = sweep?.lambda ?? (fixed as number);
  const fit = await fitLogisticRegression(all, all.targets, fitOptions(options, "fit", lambda));
  const from = validation ? "given" : "held out";
  return { classifier: fit.classifier, fit, sweep, validation: sweep ? from : "none" };
}

async function searchLambda(
  train: ProbeExamples,
  given: ProbeExamples | undefined,
  options: LinearProbeOptions,
): Promise<SweepResult> {
  const { metric = defaultMetric, threads, signal, onPoint, known } = options;
  const [fitted, validation] = given ? [train, given] : holdOut(train, options);
  const objective = await LogisticObjective.create(fitted, fitted.targets, threads ? { threads } : {});
  try {
    return await sweepLambda(async (lambda) => {
      const { classifier } = await fitObjective(objective, fitted.targets, fitOptions(options, "sweep", lambda));
      const scores = await scoreRows(validation, classifier, {
        ...(threads ? { threads } : {}),
        ...(signal ? { signal } : {}),
      });
      const score = metric(scores, validation.targets);
      onPoint?.({ lambda, score });
      return score;
    }, known);
  } finally {
    await objective.dispose();
  }
}

function fitOptions(options: LinearProbeOptions, phase: ProbeProgress["phase"], lambda: number) {
  const { maxIterations, tolerance, threads, signal, onProgress } = options;
  return {
    lambda,
    ...(maxIterations === undefined ? {} : { maxIterations }),
    ...(tolerance === undefined ? {} : { tolerance }),
    ...(threads === undefined ? {} : { threads }),
    ...(signal ? { signal } : {}),
    onProgress: ({ iteration, loss }: { iteration: number; loss: number }) =>
      onProgress?.({ phase, lambda, iteration, loss }),
  };
}

function holdOut(train: ProbeExamples, { heldOutShare = 0.2, seed = 0 }: LinearProbeOptions) {
  const { fit, heldOut } = holdOutRows(train.targets, heldOutShare, seed);
  if (heldOut.length === 0) {
    const got = `none from ${fit.length} training examples`;
    const remedy = "Give validation examples, or a lambda.";
    throw new UserError("bad-argument", `Linear probe: needs examples to choose lambda on, got ${got}. ${remedy}`);
  }
  const part = (rows: readonly number[]): ProbeExamples => ({
    features: pickFeatures(train.features, train.dim, rows),
    dim: train.dim,
    targets: pickTargets(train.targets, rows),
  });
  return [part(fit), part(heldOut)] as const;
}

const defaultMetric: ProbeMetric = (scores, targets) => {
  const { classes } = targets;
  if (targets.kind === "one") return topKAccuracy(scores, targets.labels, classes);
  const precision = elevenPointMeanAveragePrecision(scores, targets.truth, classes);
  if (!Number.isNaN(precision)) return precision;
  throw new UserError("bad-argument", "Linear probe: needs a positive to choose lambda on, got none. Hold out more.");
};

function concatExamples(a: ProbeExamples, b: ProbeExamples): ProbeExamples {
  if (a.dim !== b.dim || a.targets.kind !== b.targets.kind || a.targets.classes !== b.targets.classes) {
    const describe = ({ dim, targets }: ProbeExamples) =>
      `${dim} features, ${targets.classes} classes (${targets.kind})`;
    throw new UserError("mismatch", `Linear probe: both parts must agree, got ${describe(a)} and ${describe(b)}.`);
  }
  const features = new Float32Array(a.features.length + b.features.length);
  features.set(a.features);
  features.set(b.features, a.features.length);
  return { features, dim: a.dim, targets: concatTargets(a.targets, b.targets) };
}

function concatTargets(a: Targets, b: Targets): Targets {
  if (a.kind === "one" && b.kind === "one") {
    return { ...a, labels: Int32Array.from([...Array.from(a.labels), ...Array.from(b.labels)]) };
  }
  const parts = [a, b].map((part) => (part.kind === "several" ? part.truth : new Uint8Array()));
  return { kind: "several", classes: a.classes, truth: Uint8Array.from([...parts[0], ...parts[1]]) };
}
