import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { expectedCalibrationError, reliabilityCurve, type TopPredictions } from "../metrics/calibration.ts";
import { chanceAtK, wilsonInterval } from "../metrics/intervals.ts";
import { areaUnderRoc, rocCurve } from "../metrics/roc.ts";
import { meanOfSharesInterval } from "../metrics/stratified-intervals.ts";
import type { EvaluationDetails } from "./evaluation-details.ts";
import type { EvaluationContext, Score } from "./evaluation-task.ts";
import { drawExamples, type ExampleChoice } from "./example-pictures.ts";
import type { Judgement } from "./judgement.ts";

/** The images a judgement is of, in its order. */
export interface JudgedImages {
  readonly images: readonly LabelledImage[];
  readonly failed: number;
}

const largestConfusionMatrix = 100; // classes
const pairsKept = 20;
const examplesKept = 12;
const fewestPerClass = 2;
const rocPoints = 100;

/** Top-1 accuracy or the mean of the classes' own, with everything that the report shows of a classification. */
export async function classificationScore(
  context: Pick<EvaluationContext, "set">,
  metric: "top-1" | "mean-per-class",
  judgement: Judgement,
  { images, failed }: JudgedImages,
): Promise<Score> {
  const { classes, labels, ranks } = judgement;
  const n = labels.length;
  const { hits, trials } = countByClass(judgement);
  const withImages = trials.reduce((count, images) => count + Number(images > 0), 0);
  const meanPerClass = hits.reduce((sum, hit, c) => sum + (trials[c] > 0 ? hit / trials[c] : 0), 0) / withImages;
  const within = (k: number) => ranks.reduce((count, rank) => count + Number(rank < k), 0);
  const top1 = within(1) / n;
  const isTop1 = metric === "top-1";
  return {
    score: isTop1 ? top1 : meanPerClass,
    interval: isTop1 ? wilsonInterval(within(1), n) : meanOfSharesInterval(hits, trials),
    chance: chanceAtK(1, classes),
    n,
    failed,
    metrics: {
      "top-1": top1,
      ...(classes > 5 && { "top-5": within(5) / n, "top-5 chance": chanceAtK(5, classes) }),
      "mean-per-class": meanPerClass,
      "calibration error": expectedCalibrationError(topPredictions(judgement)),
      "largest class": Math.max(...trials) / n, // what always naming the commonest class would get
    },
    details: await detailsOf(context, judgement, images, { hits, trials }),
  };
}

interface ClassCounts {
  readonly hits: readonly number[];
  readonly trials: readonly number[];
}

function countByClass({ classes, labels, ranks }: Judgement): ClassCounts {
  const hits = new Array<number>(classes).fill(0);
  const trials = new Array<number>(classes).fill(0);
  for (const [i, label] of labels.entries()) {
    trials[label]++;
    if (ranks[i] === 0) hits[label]++;
  }
  return { hits, trials };
}

async function detailsOf(
  { set }: Pick<EvaluationContext, "set">,
  judgement: Judgement,
  images: readonly LabelledImage[],
  { hits, trials }: ClassCounts,
): Promise<EvaluationDetails> {
  const names = set.classes;
  const { classes, labels, predicted } = judgement;
  const pairs = new Map<number, number>(); // by truth · classes + predicted
  for (const [i, label] of labels.entries()) {
    const pair = label * classes + predicted[i];
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  const wrongPairs = [...pairs].filter(([pair]) => Math.floor(pair / classes) !== pair % classes);
  wrongPairs.sort(([a, countA], [b, countB]) => countB - countA || a - b);
  const empty = trials.filter((count) => count === 0).length;
  return {
    classes: names.map((name, c) => ({ name, n: trials[c], score: trials[c] > 0 ? hits[c] / trials[c] : 0 })),
    ...(classes <= largestConfusionMatrix && { confusion: matrixOf(pairs, classes) }),
    confusedPairs: wrongPairs.slice(0, pairsKept).map(([pair, count]) => ({
      truth: names[Math.floor(pair / classes)],
      predicted: names[pair % classes],
      count,
    })),
    reliability: reliabilityCurve(topPredictions(judgement)).flatMap(({ confidence, accuracy, count }) =>
      count > 0 ? [{ confidence, accuracy, count }] : [],
    ),
    ...rocOf(judgement),
    best: await drawExamples({ set }, chooseExamples(judgement, images, names, true)),
    worst: await drawExamples({ set }, chooseExamples(judgement, images, names, false)),
    ...(empty > 0 && { notes: [`${empty} of ${classes} classes have no image in this split.`] }),
  };
}

function topPredictions({ confidence, ranks }: Judgement): TopPredictions {
  return { confidences: Float64Array.from(confidence), correct: Uint8Array.from(ranks, (rank) => Number(rank === 0)) };
}

/** Whether confidence tells right answers from wrong ones; nothing where all are right or all wrong. */
function rocOf(judgement: Judgement): Pick<EvaluationDetails, "roc"> {
  const { confidences, correct } = topPredictions(judgement);
  const right = correct.reduce((sum, value) => sum + value, 0);
  if (right === 0 || right === correct.length) return {};
  const { falsePositiveRate, truePositiveRate } = rocCurve(confidences, correct);
  const step = Math.max(1, falsePositiveRate.length / rocPoints);
  const points: [number, number][] = [];
  for (let at = 0; at < falsePositiveRate.length; at += step) {
    points.push([rounded(falsePositiveRate[Math.floor(at)]), rounded(truePositiveRate[Math.floor(at)])]);
  }
  points.push([1, 1]);
  return { roc: { points, area: areaUnderRoc(confidences, correct) } };
}

const rounded = (value: number) => Number(value.toFixed(4));

function matrixOf(pairs: ReadonlyMap<number, number>, classes: number): number[][] {
  return Array.from({ length: classes }, (_, truth) =>
    Array.from({ length: classes }, (_, predicted) => pairs.get(truth * classes + predicted) ?? 0),
  );
}

/** The surest right answers, or the surest wrong ones; a few of each true class at most, so that one does not fill all. */
function chooseExamples(
  { labels, ranks, predicted, confidence }: Judgement,
  images: readonly LabelledImage[],
  names: readonly string[],
  right: boolean,
): ExampleChoice[] {
  const places = [...labels.keys()].filter((i) => (ranks[i] === 0) === right);
  places.sort((a, b) => confidence[b] - confidence[a] || a - b);
  const mostOfClass = Math.max(fewestPerClass, Math.ceil(examplesKept / names.length));
  const shown = new Map<number, number>();
  const chosen: ExampleChoice[] = [];
  for (const i of places) {
    const count = shown.get(labels[i]) ?? 0;
    if (count >= mostOfClass) continue;
    shown.set(labels[i], count + 1);
    chosen.push({ image: images[i], caption: names[labels[i]], answer: names[predicted[i]], score: confidence[i] });
    if (chosen.length === examplesKept) break;
  }
  return chosen;
}
