import { ShapeError, UserError } from "../core/errors.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { elevenPointAveragePrecision, elevenPointChance } from "../metrics/average-precision.ts";
import { bootstrapInterval } from "../metrics/intervals.ts";
import type { LogitBlock } from "./class-logits.ts";
import type { EvaluationContext, Score } from "./evaluation-task.ts";

const mostScores = 1e8;

/** 11-point mean average precision over classes of images that may have several; by VOC 2007's protocol. */
export async function multiLabelScore(
  { set }: Pick<EvaluationContext, "set">,
  blocks: AsyncIterable<LogitBlock>,
  images: readonly LabelledImage[],
  failed: number,
): Promise<Score> {
  const classes = set.classes.length;
  const n = images.length;
  if (n * classes > mostScores) {
    const remedy = "Score a smaller --split.";
    throw new UserError(
      "too-large",
      `mAP: images × classes must be at most ${mostScores}, got ${n * classes}. ${remedy}`,
    );
  }
  const scores = Array.from({ length: classes }, () => new Float32Array(n));
  const truth = Array.from({ length: classes }, () => new Uint8Array(n));
  for await (const { start, logits } of blocks) {
    for (let i = 0; i < logits.length; i++) scores[i % classes][start + Math.floor(i / classes)] = logits[i];
  }
  for (const [i, { labels }] of images.entries()) for (const label of labels) truth[label][i] = 1;
  const precisionAt = (places: Uint32Array) => meanAveragePrecision(scores, truth, places);
  const everything = Uint32Array.from({ length: n }, (_, i) => i);
  const score = precisionAt(everything);
  if (Number.isNaN(score)) throw new ShapeError("mAP: an image of the split must have a label, got none.");
  const rounds = Math.max(50, Math.min(500, Math.floor(2e8 / (n * classes * 10))));
  const positives = truth.map((column) => column.reduce((sum, value) => sum + value, 0));
  const withPositives = positives.filter((count) => count > 0);
  return {
    score,
    interval: bootstrapInterval(n, precisionAt, { rounds }),
    chance: meanChance(n, withPositives),
    n,
    failed,
    metrics: { "map-11": score, "classes with images": withPositives.length },
    details: {
      classes: set.classes.map((name, c) => ({
        name,
        n: positives[c],
        score: positives[c] > 0 ? elevenPointAveragePrecision(scores[c], truth[c]) : 0,
      })),
    },
  };
}

/** The mean over the classes of what a ranking by chance gets; classes of equal size have the same. */
function meanChance(n: number, positives: readonly number[]): number {
  const chances = new Map([...new Set(positives)].map((count) => [count, elevenPointChance(n, count)]));
  return positives.reduce((sum, count) => sum + (chances.get(count) as number), 0) / positives.length;
}

function meanAveragePrecision(
  scores: readonly Float32Array[],
  truth: readonly Uint8Array[],
  places: Uint32Array,
): number {
  let [sum, defined] = [0, 0];
  for (const [c, column] of scores.entries()) {
    const precision = elevenPointAveragePrecision(
      Float32Array.from(places, (place) => column[place]),
      Uint8Array.from(places, (place) => truth[c][place]),
    );
    if (Number.isNaN(precision)) continue;
    sum += precision;
    defined++;
  }
  return defined > 0 ? sum / defined : Number.NaN;
}
