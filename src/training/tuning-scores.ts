import type { LabelledSet } from "../data/labelled/labelled-set.ts";
import type { PixelStore } from "../data/pixel-store.ts";
import { topKAccuracy } from "../metrics/accuracy.ts";
import { elevenPointMeanAveragePrecision } from "../metrics/average-precision.ts";
import { recallAtK, retrievalRanks } from "../metrics/recall-at-k.ts";
import { averageTextEmbeddings } from "../tasks/classification/text-averages.ts";
import { type HeadInput, headLogits } from "../tasks/fine-tune/classifier-head.ts";
import type { ImageFeatureTable, RunOptions, TowerRunner } from "../tasks/fine-tune/tower-runner.ts";
import { isCaptioned } from "./tuning-data.ts";

/** One number that says how well a model does on some pictures, higher being better. */
export interface TuningScore {
  /** `top-1`: share of pictures whose best class is theirs; `mAP` for several labels; `recall@1`: of captions and pictures. */
  readonly measure: "top-1" | "mAP" | "recall@1";
  readonly value: number; // in [0, 1]
  readonly count: number; // pictures
}

type WeightValues = ReadonlyMap<string, Float32Array>;

/** One unit vector a class, as zero-shot classification takes them: the mean over the templates. [K, D] */
export function embedClassNames(
  runner: TowerRunner,
  weights: WeightValues,
  classes: readonly string[],
  templates: readonly string[],
  options: RunOptions = {},
): Promise<Float32Array> {
  const embedder = {
    fingerprint: "",
    embedDim: runner.embedDim,
    logitScale: 1,
    embedTexts: (texts: readonly string[]) => runner.embedTexts(weights, texts, options),
  };
  return averageTextEmbeddings(embedder, classes, templates, options.signal ? { signal: options.signal } : {});
}

export interface ZeroShotScoring {
  readonly runner: TowerRunner;
  readonly set: LabelledSet;
  readonly store: PixelStore; // pictures of the set
  readonly templates: readonly string[];
}

/** How well a two-tower model does by texts alone: classes by their names, or captions and pictures by each other. */
export async function zeroShotScore(
  { runner, set, store, templates }: ZeroShotScoring,
  weights: WeightValues,
  features: Pick<ImageFeatureTable, "embeddings">,
  options: RunOptions = {},
): Promise<TuningScore> {
  const { embeddings } = features;
  if (isCaptioned(set)) {
    const texts = store.images.flatMap(({ texts: captions }, image) => captions.map((text) => ({ text, image })));
    const rows = await runner.embedTexts(
      weights,
      texts.map(({ text }) => text),
      options,
    );
    const matrix = joinRows(rows, runner.embedDim);
    const ranks = retrievalRanks(
      embeddings,
      matrix,
      runner.embedDim,
      texts.map(({ image }) => image),
    );
    const value = (recallAtK(ranks.imageToText, 1) + recallAtK(ranks.textToImage, 1)) / 2;
    return { measure: "recall@1", value, count: store.count };
  }
  const classes = await embedClassNames(runner, weights, set.classes, templates, options);
  const none = new Float32Array(set.classes.length);
  return classScore(headLogits(embeddings, classes, none, { kind: "embedding", scale: 1 }), set, store);
}

/** How well a classifier head does on pictures whose features are known. */
export function headScore(
  features: ImageFeatureTable,
  head: WeightValues,
  input: HeadInput,
  set: LabelledSet,
  store: PixelStore,
): TuningScore {
  const rows = input.kind === "embedding" ? features.embeddings : features.pooled;
  const [weight, bias] = [head.get("weight") as Float32Array, head.get("bias") as Float32Array];
  return classScore(headLogits(rows, weight, bias, input), set, store);
}

function classScore(logits: Float32Array, { classes, isMultiLabel }: LabelledSet, store: PixelStore): TuningScore {
  const { images, count } = store;
  if (!isMultiLabel) {
    const labels = images.map(({ labels: [label] }) => label as number);
    return { measure: "top-1", value: topKAccuracy(logits, labels, classes.length), count };
  }
  const truth = new Uint8Array(logits.length);
  for (const [row, { labels }] of images.entries()) for (const k of labels) truth[row * classes.length + k] = 1;
  return { measure: "mAP", value: elevenPointMeanAveragePrecision(logits, truth, classes.length), count };
}

function joinRows(rows: readonly Float32Array[], width: number): Float32Array {
  const matrix = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) matrix.set(row, i * width);
  return matrix;
}
