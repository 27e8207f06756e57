import { augmentPreset } from "../data/augment-presets.ts";
import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import type { PixelStore } from "../data/pixel-store.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import type { TwoTower } from "../models/two-tower.ts";
import { namedParameters, type Weights } from "../nn/module.ts";
import { fillTemplate } from "../tasks/classification/prompts.ts";
import { ClassifierHead, type HeadInput, headWidth } from "../tasks/fine-tune/classifier-head.ts";
import { HeadObjective } from "../tasks/fine-tune/head-objective.ts";
import { headPrefix } from "../tasks/fine-tune/head-program.ts";
import type { FineTuneRecipe } from "../tasks/fine-tune/recipe.ts";
import { TrainingViews } from "../tasks/fine-tune/training-views.ts";
import type { Objective } from "../tasks/objective.ts";
import { ContrastiveObjective } from "../tasks/pretrain/contrastive-objective.ts";
import { TextFeatureBank } from "../tasks/pretrain/text-feature-bank.ts";
import { feedTexts, type TextSource } from "../tasks/pretrain/text-feeds.ts";
import { textLabel } from "../tasks/pretrain/text-label.ts";
import { isCaptioned } from "./tuning-data.ts";

export interface TuningTask {
  readonly recipe: FineTuneRecipe;
  readonly set: LabelledSet;
  readonly store: PixelStore; // of the training pictures
  /** The model to be tuned, with adapters where the method has them. */
  readonly model: TwoTower;
  readonly embedding: number;
  readonly imageSize: number;
  readonly tokenizer: Tokenizer;
  /** Values of every parameter of `model`; those that are learnt are changed in place. */
  readonly weights: Weights;
  readonly isLearnt: (name: string) => boolean;
  /** The original model's embeddings of the pictures, where the recipe anchors them. [N, D] */
  readonly anchors: Float32Array | undefined;
  readonly onTexts?: ((done: number, total: number) => void) | undefined;
}

/** A description that a picture may be shown with, and the number that equal ones share. */
interface Description {
  readonly renderings: readonly string[]; // one of them is drawn each time
  readonly label: bigint;
}

const textPrefix = "textEncoder.";

/** The pretraining loss goes on: class names in templates, or captions, against the pictures. Florence §3.3, §3.5. */
export async function createContrastiveObjective(task: TuningTask): Promise<Objective> {
  const { recipe, set, store, model, weights, isLearnt, imageSize } = task;
  const describe = descriptionsOf(set, recipe.templates);
  const descriptions = store.images.map(describe);
  const views = viewsOf(
    task,
    descriptions.map((list) => list.map((_, i) => String(i))),
  );
  const texts = new Set(descriptions.flatMap((list) => list.flatMap(({ renderings }) => renderings)));
  const learnsText = [...weights.keys()].some((name) => name.startsWith(textPrefix) && isLearnt(name));
  const source = learnsText ? tokenSource(task, texts) : await featureSource(task, texts);
  const all = namedParameters(model);
  const learnt = new Map([...all].filter(([name]) => isLearnt(name)));
  return ContrastiveObjective.create({
    shape: {
      model,
      parameters: learnt,
      allParameters: all,
      frozenWeights: new Map([...weights].filter(([name]) => !isLearnt(name))),
      imageSize,
      embedding: task.embedding,
      text:
        source.kind === "features"
          ? { kind: "features", width: source.bank.width }
          : { kind: "tokens", length: source.length },
      dropPath: model.imageEncoder.dropRates.some((rate) => rate > 0),
      recompute: recipe.recompute,
      anchorWeight: recipe.anchor,
    },
    weights: new Map<string, WeightTensor>(
      [...learnt].map(([name, { shape }]) => [name, { shape, data: weights.get(name) as Float32Array }]),
    ),
    batch: recipe.batch,
    seed: recipe.seed,
    maxLogitScale: recipe.maxLogitScale,
    ...(recipe.chunk === undefined ? {} : { chunk: recipe.chunk }),
    batchAt(step) {
      const { pixels, rows, texts: drawn, rngs } = views.viewsAt(step);
      const chosen = rows.map((row, i) => descriptions[row]?.[drawn[i] as number] as Description);
      return {
        pixels,
        labels: BigInt64Array.from(chosen.map(({ label }) => label)),
        ...(task.anchors ? { anchors: rowsOf(task.anchors, rows, task.embedding) } : {}),
        texts: feedTexts(
          source,
          chosen.map(({ renderings }, i) => (rngs[i] as (typeof rngs)[number]).pick(renderings)),
        ),
      };
    },
  });
}

/** A classifier of the set's classes on the image tower. `weights` has the head's under `head.`. */
export async function createHeadObjective(task: TuningTask, input: HeadInput): Promise<Objective> {
  const { recipe, set, model, weights, imageSize, isLearnt } = task;
  const inputs = headWidth(model, input, task.embedding);
  const classes = set.classes.length;
  return HeadObjective.create({
    shape: {
      model,
      head: new ClassifierHead(inputs, classes),
      input,
      loss: set.isMultiLabel ? "sigmoid" : "softmax",
      imageSize,
      batch: recipe.batch,
      classes,
      inputs,
      isLearnt: (name) => name.startsWith(headPrefix) || isLearnt(name),
      frozen: weights,
      dropPath: model.imageEncoder.dropRates.some((rate) => rate > 0),
      dropout: false,
      recompute: recipe.recompute,
    },
    start: weights,
    views: viewsOf(task),
    labels: task.store.images.map(({ labels }) => labels),
    labelSmoothing: recipe.labelSmoothing,
    mixing: { mixup: recipe.mixup, cutmix: recipe.cutmix },
    seed: recipe.seed,
  });
}

function viewsOf({ recipe, store, imageSize }: TuningTask, texts?: readonly (readonly string[])[]): TrainingViews {
  return new TrainingViews({
    store,
    ...(texts ? { texts } : {}),
    batch: recipe.batch,
    imageSize,
    augment: augmentPreset(recipe.augment, imageSize, recipe.flip),
    seed: recipe.seed,
  });
}

/** What each picture may be shown with: the names of its classes in any template, or each of its captions. */
function descriptionsOf(set: LabelledSet, templates: readonly string[]): (image: LabelledImage) => Description[] {
  if (isCaptioned(set)) return ({ texts }) => texts.map((text) => ({ renderings: [text], label: textLabel(text) }));
  const classes = set.classes.map((name, k) => ({
    renderings: templates.map((template) => fillTemplate(template, name)),
    label: BigInt(k),
  }));
  return ({ labels }) => labels.map((k) => classes[k] as Description);
}

function rowsOf(matrix: Float32Array, rows: readonly number[], width: number): Float32Array {
  const chosen = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) chosen.set(matrix.subarray(row * width, (row + 1) * width), i * width);
  return chosen;
}

function tokenSource({ tokenizer }: TuningTask, texts: ReadonlySet<string>): TextSource {
  let length = 2;
  for (const text of texts) length = Math.max(length, tokenizer.encode(text).length);
  return { kind: "tokens", tokenizer, length };
}

async function featureSource(task: TuningTask, texts: ReadonlySet<string>): Promise<TextSource> {
  const { model, weights, tokenizer, onTexts } = task;
  const ofEncoder = [...weights].filter(([name]) => name.startsWith(textPrefix));
  const bank = await TextFeatureBank.create({
    encoder: model.textEncoder,
    weights: new Map(ofEncoder.map(([name, data]) => [name.slice(textPrefix.length), data])),
    tokenizer,
    texts,
    ...(onTexts ? { onProgress: onTexts } : {}),
  });
  return { kind: "features", bank };
}
