import { UserError } from "../core/errors.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { targetsOf } from "../tasks/labelled-targets.ts";
import { fitLinearProbe, type ProbeExamples, readmeLambda } from "../tasks/linear-probe/linear-probe.ts";
import { LogisticObjective, type Targets } from "../tasks/logistic-objective.ts";
import { fitObjective, type LinearClassifier } from "../tasks/logistic-regression.ts";
import { scoreRows } from "../tasks/score-rows.ts";
import type { EvaluationContext } from "./evaluation-task.ts";
import type { Exposure } from "./exposure-curves.ts";
import { imageRows } from "./image-rows.ts";
import { hashOfTexts } from "./ledger-entry.ts";
import type { TrainingDraw } from "./training-draw.ts";

/** A linear probe, and what it was fitted on. */
export interface FittedProbe {
  /** For scoring: of a full exposure fitted on training and validation images; of few shots on the shots alone. */
  readonly final: LinearClassifier;
  /** Fitted on training images alone, so that validation images can judge it. */
  readonly onTrain: () => Promise<LinearClassifier>;
  readonly lambda: number;
  readonly val: ProbeExamples & { readonly images: readonly LabelledImage[] };
  readonly trainingImages: number;
}

/**
 * Fits a linear probe on the features of a draw. All images: CLIP's protocol, λ by accuracy on the validation part, then
 * a fit on both parts. Few shots: λ by the likelihood of the validation draw, for accuracy on a few images is a coarse
 * judge, and no second fit, so that k images a class stay k. Fits are kept in the context's memory.
 */
export function fitProbe(context: EvaluationContext, draw: TrainingDraw, exposure: Exposure): Promise<FittedProbe> {
  const { memory } = context;
  // Draws of several seeds can have the same training images, but λ is chosen on their own validation images.
  const [train, val] = [draw.train, draw.val].map((images) => hashOfTexts(images.map(({ key }) => key)));
  const key = JSON.stringify(["probe", exposure, train, val]);
  const known = memory.get(key) as Promise<FittedProbe> | undefined;
  if (known) return known;
  const fit = fitDraw(context, draw, exposure);
  memory.set(key, fit);
  return fit;
}

async function fitDraw(context: EvaluationContext, draw: TrainingDraw, exposure: Exposure): Promise<FittedProbe> {
  const classesSeen = new Set(draw.train.flatMap(({ labels }) => labels)).size;
  if (classesSeen < 2) {
    const rule = `${context.set.name}: a probe needs training images of 2 classes, got ${classesSeen}`;
    throw new UserError("empty", `${rule}. Use a set with a training part.`);
  }
  const train = await probeExamples(context, draw.train);
  const val = await probeExamples(context, draw.val);
  const { signal, onProgress } = context;
  const common = { ...(signal && { signal }) };
  const facts = { val, trainingImages: train.images.length };
  if (exposure !== "full") {
    const { lambda, classifier } = await fitFewShots(train, val, signal);
    return { final: classifier, onTrain: async () => classifier, lambda, ...facts };
  }
  const { classifier: final, fit } = await fitLinearProbe(train, val.images.length > 0 ? val : undefined, {
    ...common,
    onProgress: ({ iteration }) => onProgress?.("probe on all images", iteration, 1000, "iterations"),
  });
  const onTrain = async () => (await fitLinearProbe(train, undefined, { ...common, lambda: fit.lambda })).classifier;
  return { final, onTrain, lambda: fit.lambda, ...facts };
}

const fewShotDecades = { from: 4, to: -2, steps: 2 }; // of λ, two steps a decade

/**
 * λ by the likelihood of the validation examples, with a pull of one example's weight towards the λ of CLIP's README:
 * two decades away cost as much as one example of probability 1/e. A few examples alone would choose wildly.
 */
async function fitFewShots(
  train: ProbeExamples,
  val: ProbeExamples,
  signal: AbortSignal | undefined,
): Promise<{ readonly lambda: number; readonly classifier: LinearClassifier }> {
  const { from, to, steps } = fewShotDecades;
  const objective = await LogisticObjective.create(train, train.targets, { threads: 1 });
  let best: { lambda: number; classifier: LinearClassifier; cost: number } | undefined;
  let start: Float64Array | undefined; // where the next larger λ ended
  try {
    for (let step = 0; step <= (from - to) * steps; step++) {
      const lambda = 10 ** (from - step / steps);
      const options = { lambda, ...(start && { start }), ...(signal && { signal }) };
      const { classifier, parameters } = await fitObjective(objective, train.targets, options);
      start = parameters;
      const scores = await scoreRows(val, classifier, { threads: 1 });
      const cost = totalLogLoss(scores, val.targets) + (Math.log10(lambda / readmeLambda) / 2) ** 2;
      if (!best || cost < best.cost) best = { lambda, classifier, cost };
    }
  } finally {
    await objective.dispose();
  }
  return best as NonNullable<typeof best>;
}

async function probeExamples(
  context: EvaluationContext,
  chosen: readonly LabelledImage[],
): Promise<ProbeExamples & { readonly images: readonly LabelledImage[] }> {
  const usable = context.set.isMultiLabel ? chosen : chosen.filter(({ labels }) => labels.length > 0);
  const { images, rows, dim } = await imageRows(context, usable, "features");
  return { images, features: rows, dim, targets: targetsOf(context.set, images) };
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
