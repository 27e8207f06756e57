import { chosenMetric } from "../chosen-metric.ts";
import { classLogits } from "../class-logits.ts";
import { labelledImages } from "../class-weights.ts";
import { classificationScore } from "../classification-score.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import { imageRows } from "../image-rows.ts";
import { judge } from "../judgement.ts";
import { multiLabelScore } from "../multi-label-score.ts";
import { fitProbe } from "../probe-fit.ts";
import { exposurePlan, trainingDraw } from "../training-draw.ts";

/** CLIP's linear probe on frozen features, of all training images or a few a class. arXiv:2103.00020, appendix A.3. */
export const linearProbe: EvaluationTask = {
  name: "linear-probe",
  summary: "logistic regression on frozen features, of all training images or --shots a class",
  options: ["split", "metric", "shots", "seeds"],

  plan(context) {
    const { set, parts, options } = context;
    const split = options.split ?? "test";
    labelledImages(context, imagesOfSplit(set, parts, split));
    labelledImages(context, imagesOfSplit(set, parts, "train"));
    const metric = chosenMetric(set, options.metric);
    return exposurePlan(context, { split, learnsFromVal: true }).map(({ seed, protocol }) => {
      return {
        task: linearProbe.name,
        metric,
        seed,
        split,
        protocol: { images: splitOrigin(parts, split), ...protocol },
      };
    });
  },

  async *run(context, asked) {
    for (const planned of asked) yield [planned, await scoreProbe(context, planned)] as const;
  },
};

async function scoreProbe(context: EvaluationContext, planned: PlannedScore): Promise<Score> {
  const { set, parts } = context;
  const exposure = planned.protocol.shots as number | "full";
  const draw = trainingDraw(context, exposure, planned.seed, planned.split);
  const { final, lambda, trainingImages } = await fitProbe(context, draw, exposure);
  const chosen = labelledImages({ set }, imagesOfSplit(set, parts, planned.split));
  const { rows, dim, images, failed } = await imageRows(context, chosen, "features");
  const logits = classLogits(rows, dim, { weight: final.weights, bias: final.bias });
  const score =
    planned.metric === "map-11"
      ? await multiLabelScore(context, logits, images, failed)
      : await classificationScore(
          context,
          planned.metric as "top-1" | "mean-per-class",
          await judge(
            logits,
            Int32Array.from(images, ({ labels }) => labels[0]),
            set.classes.length,
          ),
          { images, failed },
        );
  const notes = [...(score.details?.notes ?? []), ...draw.notes];
  for (const note of draw.notes) context.onWarning?.(`${set.name}: ${note}`);
  return {
    ...score,
    metrics: { ...score.metrics, lambda, "training images": trainingImages },
    details: { ...score.details, ...(notes.length > 0 && { notes }) },
  };
}
