import { UserError } from "../../core/errors.ts";
import { bestBlend, blendLogits } from "../blend.ts";
import { chosenMetric } from "../chosen-metric.ts";
import { classLogits } from "../class-logits.ts";
import { classWeights, labelledImages, promptProtocol } from "../class-weights.ts";
import { classificationScore } from "../classification-score.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import { imageRows } from "../image-rows.ts";
import { judge } from "../judgement.ts";
import { fitProbe } from "../probe-fit.ts";
import { exposurePlan, trainingDraw } from "../training-draw.ts";

/**
 * A probe that does not forget what the class names say: the logarithms of the probabilities of zero-shot and probe,
 * weighted and summed. Both weights are fitted on the validation draw, with a pull towards one half each.
 */
export const textProbe: EvaluationTask = {
  name: "text-probe",
  summary: "a linear probe blended with zero-shot, for a few images a class",
  options: ["split", "metric", "shots", "seeds", "prompts"],

  plan(context) {
    const { set, parts, options } = context;
    if (set.isMultiLabel) {
      const remedy = "Use linear-probe.";
      throw new UserError("unsupported", `text-probe: needs one label an image, got several in ${set.name}. ${remedy}`);
    }
    const split = options.split ?? "test";
    labelledImages(context, imagesOfSplit(set, parts, split));
    labelledImages(context, imagesOfSplit(set, parts, "train"));
    const common = { images: splitOrigin(parts, split), ...promptProtocol(options) };
    return exposurePlan(context, { split, learnsFromVal: true }).map(({ seed, protocol }) => {
      const metric = chosenMetric(set, options.metric);
      return { task: textProbe.name, metric, seed, split, protocol: { ...common, ...protocol } };
    });
  },

  async *run(context, asked) {
    if (asked.length === 0) return;
    const texts = await classWeights(context);
    const weight = texts.map((value) => value * context.model.logitScale);
    for (const planned of asked) yield [planned, await scoreBlend(context, planned, weight)] as const;
  },
};

async function scoreBlend(context: EvaluationContext, planned: PlannedScore, textWeight: Float32Array): Promise<Score> {
  const { set, parts } = context;
  const classes = set.classes.length;
  const exposure = planned.protocol.shots as number | "full";
  const draw = trainingDraw(context, exposure, planned.seed, planned.split);
  const probe = await fitProbe(context, draw, exposure);
  for (const note of draw.notes) context.onWarning?.(`${set.name}: ${note}`);

  const { val } = probe;
  const onTrain = await probe.onTrain();
  const valEmbeddings = await imageRows(context, val.images, "embedding");
  const valLabels = Int32Array.from(val.images, ({ labels }) => labels[0]);
  const weights = await bestBlend(
    classLogits(valEmbeddings.rows, valEmbeddings.dim, { weight: textWeight }),
    classLogits(val.features, val.dim, { weight: onTrain.weights, bias: onTrain.bias }),
    valLabels,
    classes,
  );

  const chosen = labelledImages({ set }, imagesOfSplit(set, parts, planned.split));
  const features = await imageRows(context, chosen, "features");
  const embeddings = await imageRows(context, features.images, "embedding");
  const blended = blendLogits(
    classLogits(embeddings.rows, embeddings.dim, { weight: textWeight }),
    classLogits(features.rows, features.dim, { weight: probe.final.weights, bias: probe.final.bias }),
    classes,
    weights,
  );
  const labels = Int32Array.from(features.images, (image) => image.labels[0]);
  const judged = { images: features.images, failed: features.failed };
  const metric = planned.metric as "top-1" | "mean-per-class";
  const score = await classificationScore(context, metric, await judge(blended, labels, classes), judged);
  const notes = [...(score.details?.notes ?? []), ...draw.notes];
  return {
    ...score,
    metrics: {
      ...score.metrics,
      lambda: probe.lambda,
      "training images": probe.trainingImages,
      "weight of texts": weights.first,
      "weight of probe": weights.second,
    },
    details: { ...score.details, ...(notes.length > 0 && { notes }) },
  };
}
