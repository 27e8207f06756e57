import { UserError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { augmentInto } from "../data/augment.ts";
import type { PixelStore } from "../data/pixel-store.ts";
import { softmax } from "../graph/softmax.ts";
import { input } from "../graph/tensor.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { TwoTower } from "../models/two-tower.ts";
import { initialWeights, type Weights } from "../nn/module.ts";
import { compile, type FeedData, type Program } from "../runtime/program.ts";
import { ClassifierHead } from "../tasks/fine-tune/classifier-head.ts";
import { type HeadBatch, HeadProgram, headParameters, headPrefix } from "../tasks/fine-tune/head-program.ts";
import type { Checkpoint } from "../zoo/checkpoint.ts";
import { Sgd } from "./sgd.ts";

export interface EpisodeRecipe {
  readonly epochs: number; // passes over the support pictures
  readonly batch: number; // support pictures an update
  readonly encoderRate: number;
  readonly encoderMomentum: number;
  readonly headRate: number;
  readonly headMomentum: number;
  readonly dropout: number; // of the features before the head
  readonly flip: boolean; // mirrored pictures in training, and both ways averaged in prediction
}

/** Florence's few-shot tuning of the whole encoder, arXiv:2111.11432 §3.4; the batch is not stated there. */
export const florenceEpisodeRecipe: EpisodeRecipe = {
  epochs: 100,
  batch: 25,
  encoderRate: 2e-4,
  encoderMomentum: 0.9,
  headRate: 0.01,
  headMomentum: 0.99,
  dropout: 0.5,
  flip: true,
};

/** One few-shot problem: rows of a store whose pictures have the model's size. */
export interface Episode {
  readonly store: PixelStore;
  readonly support: readonly { readonly row: number; readonly label: number }[]; // labels below `ways`
  readonly query: readonly number[];
  readonly seed: number | string;
}

const predictionBatch = 25;

/**
 * Tunes an image tower with a fresh linear head for one few-shot episode after another, each from the same weights. The
 * programs are compiled once and reused, so an episode costs its steps alone.
 */
export class EpisodeTuner {
  readonly #recipe: EpisodeRecipe;
  readonly #ways: number;
  readonly #size: number;
  readonly #features: number;
  readonly #start: Weights; // of the image tower
  readonly #head: ClassifierHead;
  readonly #training: HeadProgram;
  readonly #prediction: Program;

  private constructor(
    options: {
      recipe: EpisodeRecipe;
      ways: number;
      size: number;
      features: number;
      start: Weights;
      head: ClassifierHead;
    },
    programs: { training: HeadProgram; prediction: Program },
  ) {
    this.#recipe = options.recipe;
    this.#ways = options.ways;
    this.#size = options.size;
    this.#features = options.features;
    this.#start = options.start;
    this.#head = options.head;
    this.#training = programs.training;
    this.#prediction = programs.prediction;
  }

  /** @param ways  classes of every episode */
  static async create(
    { architecture, preprocessing, weights }: Pick<Checkpoint, "architecture" | "preprocessing" | "weights">,
    ways: number,
    recipe: EpisodeRecipe = florenceEpisodeRecipe,
  ): Promise<EpisodeTuner> {
    if (!(ways >= 2)) throw new UserError("bad-argument", `Episodes: must have 2 classes or more, got ${ways}.`);
    const model = new TwoTower(architecture);
    const { size } = preprocessing;
    const { features } = model.imageEncoder;
    const head = new ClassifierHead(features, ways);
    const training = await HeadProgram.create({
      model,
      head,
      input: { kind: "pooled" },
      loss: "softmax",
      imageSize: size,
      batch: recipe.batch,
      classes: ways,
      inputs: features,
      isLearnt: (name) => name.startsWith("imageEncoder.") || name.startsWith(headPrefix),
      frozen: weights,
      dropPath: false,
      dropout: recipe.dropout > 0,
      recompute: false,
    });
    const pixels = input("pixels", [predictionBatch, size, size, 3], "uint8");
    const probabilities = softmax(head.forward(model.imageEncoder.forward(pixels).pooled));
    const prediction = await compile({ outputs: { probabilities }, parameters: headParameters(model, head) });
    const start = new Map([...weights].filter(([name]) => training.learnt.has(name)));
    return new EpisodeTuner({ recipe, ways, size, features, start, head }, { training, prediction });
  }

  /** Updates that an episode with so many support pictures takes. */
  stepsOf(support: number): number {
    return this.#recipe.epochs * Math.ceil(support / this.#recipe.batch);
  }

  /** @returns  probabilities of each query picture's classes, [query, ways] */
  async run(
    episode: Episode,
    { signal, onStep }: { readonly signal?: AbortSignal; readonly onStep?: (step: number) => void } = {},
  ): Promise<Float32Array> {
    this.#check(episode);
    const recipe = this.#recipe;
    const weights = this.#freshWeights(episode.seed);
    const values = new Map([...weights].map(([name, { data }]) => [name, data]));
    const optimizer = new Sgd(weights, (name) =>
      name.startsWith(headPrefix)
        ? { momentum: recipe.headMomentum, rateScale: recipe.headRate }
        : { momentum: recipe.encoderMomentum, rateScale: recipe.encoderRate },
    );
    const root = new Rng(`episode ${episode.seed}`);
    for (let epoch = 0; epoch < recipe.epochs; epoch++) {
      const rng = root.fork(epoch);
      const order = rng.permutation(episode.support.length);
      for (let from = 0; from < order.length; from += recipe.batch) {
        signal?.throwIfAborted();
        const batch = this.#batchOf(episode, order.subarray(from, from + recipe.batch), rng);
        optimizer.step((await this.#training.run(values, batch)).gradients, 1);
        onStep?.(optimizer.steps);
      }
    }
    return this.#predict(episode, values);
  }

  async dispose(): Promise<void> {
    await this.#training.dispose();
    await this.#prediction.dispose();
  }

  #check({ store, support, query }: Episode): void {
    const rows = [...support.map(({ row }) => row), ...query];
    const stranger = rows.find((row) => !(row >= 0 && row < store.count));
    const label = support.find((one) => !(one.label >= 0 && one.label < this.#ways))?.label;
    if (support.length === 0 || store.size !== this.#size || stranger !== undefined || label !== undefined) {
      const rule = `needs support, rows below ${store.count}, labels below ${this.#ways} and pictures of ${this.#size}²`;
      const got = `${support.length} of support, row ${stranger}, label ${label}, pictures of ${store.size}²`;
      throw new UserError("bad-argument", `Episode: ${rule}, got ${got}.`);
    }
  }

  #freshWeights(seed: number | string): Map<string, WeightTensor> {
    const head = initialWeights(this.#head, `episode ${seed}`);
    return new Map(
      [...this.#training.learnt].map(([name, { shape }]) => {
        const values = this.#start.get(name) ?? head.get(name.slice(headPrefix.length));
        return [name, { shape, data: (values as Float32Array).slice() }];
      }),
    );
  }

  /** A batch of the program's size; a shorter one is filled up with rows that count for nothing. */
  #batchOf({ store, support }: Episode, chosen: Uint32Array, rng: Rng): HeadBatch {
    const { batch, dropout, flip } = this.#recipe;
    const length = this.#size ** 2 * 3;
    const pixels = new Uint8Array(batch * length);
    const targets = new Float32Array(batch * this.#ways);
    const rowWeights = new Float32Array(batch);
    const source = new Uint8Array(length);
    for (const [i, index] of chosen.entries()) {
      const { row, label } = support[index] as Episode["support"][number];
      store.copy(row, source, 0);
      const augment = flip ? { flip: 0.5 } : {};
      augmentInto(source, 0, this.#size, this.#size, pixels, i * length, this.#size, augment, rng);
      targets[i * this.#ways + label] = 1;
      rowWeights[i] = 1 / chosen.length;
    }
    if (dropout === 0) return { pixels, targets, rowWeights };
    const kept = 1 / (1 - dropout);
    const mask = Float32Array.from({ length: batch * this.#features }, () => (rng.uniform() < dropout ? 0 : kept));
    return { pixels, targets, rowWeights, dropout: mask };
  }

  async #predict({ store, query }: Episode, weights: Weights): Promise<Float32Array> {
    const mirrors = this.#recipe.flip ? [0, 1] : [0];
    const length = this.#size ** 2 * 3;
    const source = new Uint8Array(length);
    const pixels = new Uint8Array(predictionBatch * length);
    const result = new Float32Array(query.length * this.#ways);
    const rng = new Rng("no chance in it");
    for (let from = 0; from < query.length; from += predictionBatch) {
      const rows = query.slice(from, from + predictionBatch);
      for (const flip of mirrors) {
        for (const [i, row] of rows.entries()) {
          store.copy(row, source, 0);
          augmentInto(source, 0, this.#size, this.#size, pixels, i * length, this.#size, { flip }, rng);
        }
        const feeds = new Map<string, FeedData>([...weights, ["pixels", pixels]]);
        const { probabilities } = await this.#prediction.run(feeds);
        for (let i = 0; i < rows.length * this.#ways; i++) {
          result[from * this.#ways + i] += Number((probabilities as Float32Array)[i]) / mirrors.length;
        }
      }
    }
    return result;
  }
}
