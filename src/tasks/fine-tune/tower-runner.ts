import type { PixelStore } from "../../data/pixel-store.ts";
import { encodeBatch, type Tokenizer } from "../../data/tokenizers/tokenizer.ts";
import { input, type Parameter } from "../../graph/tensor.ts";
import { textInputs } from "../../models/text-encoder/text-batch.ts";
import { TwoTower, type TwoTowerConfig } from "../../models/two-tower.ts";
import { namedParameters } from "../../nn/module.ts";
import { compile, type FeedData, type Program } from "../../runtime/program.ts";

type WeightValues = ReadonlyMap<string, Float32Array>;

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Embeddings and pooled features of pictures, row-major. */
export interface ImageFeatureTable {
  readonly embeddings: Float32Array; // [N, D], of length 1
  readonly pooled: Float32Array; // [N, F]
}

const imageBatch = 64;
const textBatch = 32;
const textPrefix = "textEncoder.";

/**
 * One model with any number of weights: the programs are compiled once and fed the weights at each run, so that a tuned
 * model, its original and all in between can be compared.
 */
export class TowerRunner {
  readonly embedDim: number;
  readonly #tower: TwoTower;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #tokenizer: Tokenizer;
  readonly #programs = new Map<string, Promise<Program>>();
  #textFeatures: { weights: WeightValues; features: Map<string, Float32Array> } | undefined;

  constructor(architecture: TwoTowerConfig, tokenizer: Tokenizer) {
    this.embedDim = architecture.embedding;
    this.#tower = new TwoTower(architecture);
    this.#parameters = namedParameters(this.#tower);
    this.#tokenizer = tokenizer;
  }

  /** Pictures of a store of the model's size, through the image tower. */
  async embedStore(weights: WeightValues, store: PixelStore, options: RunOptions = {}): Promise<ImageFeatureTable> {
    const { size, count } = store;
    const program = await this.#program(`image ${size}`, () => {
      const pixels = input("pixels", [imageBatch, size, size, 3], "uint8");
      const { pooled } = this.#tower.imageEncoder.forward(pixels);
      return { pooled, embedding: this.#tower.embedImageFeatures(pooled) };
    });
    const features = this.#tower.imageEncoder.features;
    const table = { embeddings: new Float32Array(count * this.embedDim), pooled: new Float32Array(count * features) };
    const pixels = new Uint8Array(imageBatch * size * size * 3);
    for (let from = 0; from < count; from += imageBatch) {
      options.signal?.throwIfAborted();
      const rows = Math.min(imageBatch, count - from);
      for (let i = 0; i < rows; i++) store.copy(from + i, pixels, i * size * size * 3);
      const outputs = await program.run(feedsOf(program, weights, { pixels }));
      copyRows(outputs.embedding as Float32Array, table.embeddings, this.embedDim, from, rows);
      copyRows(outputs.pooled as Float32Array, table.pooled, features, from, rows);
      options.onProgress?.(from + rows, count);
    }
    return table;
  }

  /** L2-normalised embeddings of texts, one each, in order. Features of a text tower that did not change are kept. */
  async embedTexts(weights: WeightValues, texts: readonly string[], options: RunOptions = {}): Promise<Float32Array[]> {
    const features = await this.#featuresOf(weights, texts, options);
    const width = this.#tower.textEncoder.features;
    const program = await this.#program("projection", () => ({
      embedding: this.#tower.embedTextFeatures(input("features", [textBatch, width])),
    }));
    const found: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += textBatch) {
      const group = texts.slice(from, from + textBatch);
      const rows = new Float32Array(textBatch * width);
      for (let i = 0; i < textBatch; i++) {
        rows.set(features.get(group[Math.min(i, group.length - 1)]) as Float32Array, i * width);
      }
      const { embedding } = await program.run(feedsOf(program, weights, { features: rows }));
      for (let i = 0; i < group.length; i++) {
        found.push((embedding as Float32Array).slice(i * this.embedDim, (i + 1) * this.embedDim));
      }
    }
    return found;
  }

  async dispose(): Promise<void> {
    const programs = await Promise.all(this.#programs.values());
    this.#programs.clear();
    for (const program of programs) await program.dispose();
  }

  async #featuresOf(
    weights: WeightValues,
    texts: readonly string[],
    { signal, onProgress }: RunOptions,
  ): Promise<ReadonlyMap<string, Float32Array>> {
    if (!this.#textFeatures || !hasSameTextTower(this.#textFeatures.weights, weights)) {
      this.#textFeatures = { weights, features: new Map() };
    }
    const { features } = this.#textFeatures;
    const missing = [...new Set(texts)]
      .filter((text) => !features.has(text))
      .map((text) => ({ text, ids: this.#tokenizer.encode(text).length }))
      .sort((a, b) => a.ids - b.ids); // so that a batch holds little padding
    const width = this.#tower.textEncoder.features;
    for (let from = 0; from < missing.length; from += textBatch) {
      signal?.throwIfAborted();
      const group = missing.slice(from, from + textBatch).map(({ text }) => text);
      const padded = [...group, ...new Array<string>(textBatch - group.length).fill(group[0] as string)];
      const { ids, mask, length } = encodeBatch(this.#tokenizer, padded);
      const program = await this.#program(`text ${length}`, () => ({
        features: this.#tower.textEncoder.forward(textInputs(textBatch, length)),
      }));
      const outputs = await program.run(feedsOf(program, weights, { "text.ids": ids, "text.mask": mask }));
      const rows = outputs.features as Float32Array;
      for (const [i, text] of group.entries()) features.set(text, rows.slice(i * width, (i + 1) * width));
      onProgress?.(from + group.length, missing.length);
    }
    return features;
  }

  #program(key: string, outputs: () => Parameters<typeof compile>[0]["outputs"]): Promise<Program> {
    let program = this.#programs.get(key);
    if (!program) {
      program = compile({ outputs: outputs(), parameters: this.#parameters });
      this.#programs.set(key, program);
    }
    return program;
  }
}

function feedsOf(program: Program, weights: WeightValues, data: Record<string, FeedData>): Map<string, FeedData> {
  const feeds = new Map<string, FeedData>(Object.entries(data));
  for (const { name } of program.inputs) {
    const values = weights.get(name);
    if (values) feeds.set(name, values);
  }
  return feeds;
}

function hasSameTextTower(a: WeightValues, b: WeightValues): boolean {
  for (const [name, values] of a) if (name.startsWith(textPrefix) && b.get(name) !== values) return false;
  return true;
}

function copyRows(source: Float32Array, target: Float32Array, width: number, from: number, rows: number): void {
  target.set(source.subarray(0, rows * width), from * width);
}
