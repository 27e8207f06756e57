import { UserError } from "../../core/errors.ts";
import type { LabelledImage } from "../../data/labelled/labelled-set.ts";
import { chanceAtK, chanceAtKOfSeveral } from "../../metrics/intervals.ts";
import { medianRank, recallAtK, retrievalRanks } from "../../metrics/recall-at-k.ts";
import { groupedShareInterval } from "../../metrics/stratified-intervals.ts";
import { ExactIndex } from "../../search/exact-index.ts";
import type { EvaluationDetails } from "../evaluation-details.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import { drawExamples, type ExampleChoice } from "../example-pictures.ts";
import { type ImageRows, imageRows } from "../image-rows.ts";
import { textRows } from "../text-rows.ts";

const cutOffs = [1, 5, 10];
const directions = ["text-to-image", "image-to-text"] as const;
const examplesKept = 12;

/**
 * Retrieval of images by their captions and of captions by their images; an image with several counts as found by
 * its best one. Karpathy and Fei-Fei, arXiv:1412.2306; Florence §3.5.
 */
export const retrieval: EvaluationTask = {
  name: "retrieval",
  summary: "recall at 1, 5 and 10 from text to image and from image to text, on captioned images",
  options: ["split"],

  plan({ set, parts, options }) {
    const split = options.split ?? "test";
    captioned(imagesOfSplit(set, parts, split), set.name);
    const protocol = { images: splitOrigin(parts, split) };
    return directions.flatMap((direction) =>
      cutOffs.map((k) => ({ task: retrieval.name, metric: `${direction} R@${k}`, protocol, seed: null, split })),
    );
  },

  async *run(context, asked) {
    const [first] = asked;
    if (!first) return;
    const pairs = await embedPairs(context, first.split);
    for (const planned of asked) yield [planned, await scoreOf(context, planned, pairs)] as const;
  },
};

interface EmbeddedPairs {
  readonly found: ImageRows;
  readonly captions: readonly string[];
  readonly imageOfCaption: Int32Array;
  readonly texts: Float32Array; // [captions, dim]
  readonly ranks: ReturnType<typeof retrievalRanks>;
}

async function embedPairs(context: EvaluationContext, split: string): Promise<EmbeddedPairs> {
  const { set, parts } = context;
  const found = await imageRows(context, captioned(imagesOfSplit(set, parts, split), set.name), "embedding");
  const pairs = found.images.flatMap(({ texts }, image) => texts.map((text) => ({ text, image })));
  const captions = pairs.map(({ text }) => text);
  const imageOfCaption = Int32Array.from(pairs, ({ image }) => image);
  const texts = await textRows(context, captions);
  const ranks = retrievalRanks(found.rows, texts, found.dim, imageOfCaption);
  return { found, captions, imageOfCaption, texts, ranks };
}

async function scoreOf(context: EvaluationContext, { metric }: PlannedScore, pairs: EmbeddedPairs): Promise<Score> {
  const [direction, cutOff] = metric.split(" R@");
  const k = Number(cutOff);
  const images = pairs.found.images.length;
  const { ranks, imageOfCaption, captions } = pairs;
  const isByText = direction === "text-to-image";
  const own = isByText ? ranks.textToImage : ranks.imageToText;
  const hits = new Array<number>(images).fill(0);
  const trials = new Array<number>(images).fill(isByText ? 0 : 1);
  for (const [query, rank] of own.entries()) {
    const image = isByText ? imageOfCaption[query] : query;
    if (isByText) trials[image]++;
    if (rank < k) hits[image]++;
  }
  return {
    score: recallAtK(own, k),
    interval: groupedShareInterval(hits, trials), // captions of one image are no independent queries
    chance: isByText ? chanceAtK(k, images) : chanceByImage(k, pairs.found.images, captions.length),
    n: own.length,
    failed: pairs.found.failed,
    metrics: { "median rank": medianRank(own), images, texts: captions.length },
    ...(metric === "text-to-image R@1" && { details: await examples(context, pairs) }),
  };
}

/** The mean over images of the chance that one of its captions is among `k` drawn from all. */
function chanceByImage(k: number, images: readonly LabelledImage[], captions: number): number {
  return images.reduce((sum, { texts }) => sum + chanceAtKOfSeveral(k, captions, texts.length), 0) / images.length;
}

/** The captions that found their image with the widest similarity, and those that ranked it lowest. */
async function examples(
  context: EvaluationContext,
  { found, captions, imageOfCaption, texts, ranks }: EmbeddedPairs,
): Promise<EvaluationDetails> {
  const { rows, dim, images } = found;
  const index = new ExactIndex(rows, dim);
  const similarity = (caption: number) => {
    let sum = 0;
    for (let i = 0; i < dim; i++) sum += texts[caption * dim + i] * rows[imageOfCaption[caption] * dim + i];
    return sum;
  };
  const order = [...captions.keys()].sort(
    (a, b) => ranks.textToImage[a] - ranks.textToImage[b] || similarity(b) - similarity(a),
  );
  const choose = (sorted: readonly number[]): ExampleChoice[] => {
    const shown = new Set<number>();
    const chosen = sorted.filter(
      (caption) => !shown.has(imageOfCaption[caption]) && shown.add(imageOfCaption[caption]),
    );
    return chosen.slice(0, examplesKept).map((caption) => {
      const [first] = index.nearest(texts.subarray(caption * dim, (caption + 1) * dim), 1);
      const rank = ranks.textToImage[caption] + 1;
      const answer = rank === 1 ? "found first" : `rank ${rank}; first: ${images[first?.row ?? 0].texts[0]}`;
      return { image: images[imageOfCaption[caption]], caption: captions[caption], answer, score: similarity(caption) };
    });
  };
  return {
    best: await drawExamples(context, choose(order)),
    worst: await drawExamples(context, choose(order.toReversed())),
  };
}

function captioned(images: readonly LabelledImage[], name: string): readonly LabelledImage[] {
  const withTexts = images.filter(({ texts }) => texts.length > 0);
  if (withTexts.length >= 2) return withTexts;
  throw new UserError(
    "unsupported",
    `${name}: must have two captioned images or more in this split, got ${withTexts.length}. Choose another set or --split.`,
  );
}
