import { UserError } from "../core/errors.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { sweepLambda } from "../tasks/linear-probe/lambda-sweep.ts";
import { fitLinearProbe, type ProbeExamples, readmeLambda } from "../tasks/linear-probe/linear-probe.ts";
import { LogisticObjective, type Targets } from "../tasks/logistic-objective.ts";
import { fitObjective, type LinearClassifier } from "../tasks/logistic-regression.ts";
import { scoreRows } from "../tasks/score-rows.ts";
import type { EvaluationContext } from "./evaluation-task.ts";
import type { Exposure } from "./exposure-curves.ts";
import { imageRows } from "./image-rows.ts";
import type { TrainingDraw } from "./training-draw.ts";

/** A linear probe, and what it was fitted on. */
export interface FittedProbe {
  /** Fitted on training images alone, as λ was chosen with. */
  readonly onTrain: LinearClassifier;
  /** For scoring: of a full exposure refitted on training and validation images; else `onTrain`. */
  readonly final: LinearClassifier;
  readonly lambda: number;
  readonly val: ProbeExamples & { readonly images: readonly LabelledImage[] };
  readonly trainingImages: number;
}

/**
 * Fits a linear probe on the features of a draw. All images: CLIP's protocol, λ by accuracy on the validation part, then
 * a fit on both parts. Few shots: λ by the likelihood of the validation draw, for accuracy on a few images is a coarse
 * judge, and no refit, so that k images a class stay k.
 */
export async function fitProbe(
  context: EvaluationContext,
  draw: TrainingDraw,
  exposure: Exposure,
): Promise<FittedProbe> {
  const train = await probeExamples(context, draw.train);
  const val = await probeExamples(context, draw.val);
  const classesSeen = new Set(draw.train.flatMap(({ labels }) => labels)).size;
  if (classesSeen < 2) {
    const remedy = "Use a set with a training part.";
    throw new UserError(
      "empty",
      `${context.set.name}: a probe needs training images of 2 classes, got ${classesSeen}. ${remedy}`,
    );
  }
  const { signal, onProgress } = context;
  const report = (iteration: number) => onProgress?.(`probe, ${exposure} shots`, iteration, 1000, "iterations");
  const common = { ...(signal && { signal }) };
  const facts = { val, trainingImages: train.images.length };
  if (exposure === "full") {
    const validation = val.images.length > 0 ? val : undefined;
    const { classifier: final, fit } = await fitLinearProbe(train, validation, {
      ...common,
      onProgress: ({ iteration }) => report(iteration),
    });
    const { classifier: onTrain } = await fitLinearProbe(train, undefined, { ...common, lambda: fit.lambda });
    return { onTrain, final, lambda: fit.lambda, ...facts };
  }
  const lambda = await fewShotLambda(train, val, signal);
  const { classifier } = await fitLinearProbe(train, undefined, { ...common, lambda });
  return { onTrain: classifier, final: classifier, lambda, ...facts };
}

/**
 * λ by the likelihood of the validation examples, with a pull of one example's weight towards the λ of CLIP's README:
 * two decades away cost as much as one example of probability 1/e. A few examples alone would choose wildly.
 */
async function fewShotLambda(train: ProbeExamples, val: ProbeExamples, signal?: AbortSignal): Promise<number> {
  const objective = await LogisticObjective.create(train, train.targets);
  try {
    const { lambda } = await sweepLambda(async (tried) => {
      signal?.throwIfAborted();
      const { classifier } = await fitObjective(objective, train.targets, { lambda: tried });
      const scores = await scoreRows(val, classifier);
      const pull = (Math.log10(tried / readmeLambda) / 2) ** 2;
      return -totalLogLoss(scores, val.targets) - pull;
    });
    return lambda;
  } finally {
    await objective.dispose();
  }
}

async function probeExamples(
  context: EvaluationContext,
  chosen: readonly LabelledImage[],
): Promise<ProbeExamples & { readonly images: readonly LabelledImage[] }> {
  const usable = context.set.isMultiLabel ? chosen : chosen.filter(({ labels }) => labels.length > 0);
  const { images, rows, dim } = await imageRows(context, usable, "features");
  return { images, features: rows, dim, targets: targetsOf(context, images) };
}

/** The labels of images as a probe learns them. */
export function targetsOf({ set }: Pick<EvaluationContext, "set">, images: readonly LabelledImage[]): Targets {
  const classes = set.classes.length;
  if (!set.isMultiLabel) return { kind: "one", labels: Int32Array.from(images, ({ labels }) => labels[0]), classes };
  const truth = new Uint8Array(images.length * classes);
  for (const [i, { labels }] of images.entries()) for (const label of labels) truth[i * classes + label] = 1;
  return { kind: "several", truth, classes };
}

/** The sum of −log of the probabilities of what is true: of one class in a softmax, or of each class by itself. */
export function totalLogLoss(logits: Float32Array, targets: Targets): number {
  const { classes } = targets;
  let total = 0;
  if (targets.kind === "several") {
    for (const [i, logit] of logits.entries()) total += softplus(targets.truth[i] ? -logit : logit);
    return total / classes;
  }
  for (let row = 0; row < targets.labels.length; row++) {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    const largest = own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const sum = own.reduce((partial, logit) => partial + Math.exp(logit - largest), 0);
    total += Math.log(sum) + largest - own[targets.labels[row]];
  }
  return total;
}

function softplus(value: number): number {
  return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));
}
