import { chosenMetric } from "../chosen-metric.ts";
import { classLogits } from "../class-logits.ts";
import { classWeights, labelledImages, promptProtocol } from "../class-weights.ts";
import { classificationScore } from "../classification-score.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import { imageRows } from "../image-rows.ts";
import { judge } from "../judgement.ts";
import { multiLabelScore } from "../multi-label-score.ts";

/** Classification by class names alone. Radford et al., arXiv:2103.00020 §3.1; Florence §3.1. */
export const zeroShot: EvaluationTask = {
  name: "zero-shot",
  summary: "classification by class names alone, in prompt templates",
  options: ["split", "metric", "prompts"],

  plan(context) {
    const { set, parts, options } = context;
    const split = options.split ?? "test";
    labelledImages(context, imagesOfSplit(set, parts, split));
    const protocol = { images: splitOrigin(parts, split), ...promptProtocol(options) };
    return [{ task: zeroShot.name, metric: chosenMetric(set, options.metric), protocol, seed: null, split }];
  },

  async *run(context, asked) {
    for (const planned of asked) yield [planned, await scoreZeroShot(context, planned)] as const;
  },
};

async function scoreZeroShot(context: EvaluationContext, { metric, split }: PlannedScore): Promise<Score> {
  const { model, set, parts } = context;
  const classes = await classWeights(context);
  const chosen = labelledImages({ set }, imagesOfSplit(set, parts, split));
  const { rows, dim, images, failed } = await imageRows(context, chosen, "embedding");
  const logits = classLogits(rows, dim, { weight: classes.map((value) => model.logitScale * value) });
  if (metric === "map-11") return multiLabelScore(context, logits, images, failed);
  const labels = Int32Array.from(images, (image) => image.labels[0]);
  const judgement = await judge(logits, labels, set.classes.length, model.scoring);
  return classificationScore(context, metric as "top-1" | "mean-per-class", judgement, { images, failed });
}
