import { UserError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import type { WeightTensor } from "../../io/safetensors.ts";
import { drawDropPath } from "../../nn/drop-path.ts";
import type { FeedData, Program } from "../../runtime/program.ts";
import type { Objective, StepResult } from "../objective.ts";
import {
  type ContrastiveShape,
  compileFullStep,
  compileGradientCache,
  type GradientCachePrograms,
  gradientPrefix,
} from "./contrastive-programs.ts";

/** One batch of image–text–label triples as a program is fed. */
export interface ContrastiveBatch {
  pixels: Uint8Array; // [B, H, W, 3]
  texts: Record<string, { data: Float32Array | Int32Array; width: number }>; // graph inputs, T rows of `width` values
  labels: BigInt64Array; // [T] of the texts; the first B are the images' own
  further?: Float32Array; // [B, T − B], which further texts each image is told apart from; needed if T > B
  anchors?: Float32Array; // [B, D], where the shape has an anchor weight
}

export interface ContrastiveOptions {
  shape: ContrastiveShape;
  weights: ReadonlyMap<string, WeightTensor>; // of all parameters of `shape.parameters`
  batch: number; // images, B
  texts?: number; // T ≥ B, the images' own first, then further ones to tell apart from; B if left out
  chunk?: number; // below `batch`, which it must divide: gradient cache
  seed: number;
  maxLogitScale: number;
  batchAt(step: number): ContrastiveBatch;
}

type Engine = { kind: "full"; program: Program } | { kind: "cache"; chunk: number; programs: GradientCachePrograms };

/** UniCL pretraining as an objective: the whole batch in one program, or in chunks with a gradient cache. */
export class ContrastiveObjective implements Objective {
  readonly weights: ReadonlyMap<string, WeightTensor>;
  readonly samplesPerStep: number;
  readonly #options: ContrastiveOptions;
  readonly #engine: Engine;

  private constructor(options: ContrastiveOptions, engine: Engine) {
    this.weights = options.weights;
    this.samplesPerStep = options.batch;
    this.#options = options;
    this.#engine = engine;
  }

  static async create(options: ContrastiveOptions): Promise<ContrastiveObjective> {
    const { shape, batch, chunk, texts = batch } = options;
    if (chunk === undefined || chunk >= batch) {
      return new ContrastiveObjective(options, { kind: "full", program: await compileFullStep(shape, batch, texts) });
    }
    if (batch % chunk !== 0) {
      throw new UserError("bad-argument", `Gradient cache: chunk must divide the batch of ${batch}, got ${chunk}.`);
    }
    if (texts % (batch / chunk) !== 0) {
      const rule = `the ${batch / chunk} chunks of the batch must share its ${texts} texts evenly`;
      throw new UserError("bad-argument", `Gradient cache: ${rule}.`);
    }
    const programs = await compileGradientCache(shape, batch, chunk, texts);
    return new ContrastiveObjective(options, { kind: "cache", chunk, programs });
  }

  async step(step: number): Promise<StepResult> {
    const { batch, shape, seed } = this.#options;
    const data = this.#options.batchAt(step);
    const rates = shape.model.imageEncoder.dropRates;
    const dropPath = shape.dropPath
      ? drawDropPath(rates, batch, new Rng(seed).fork("drop-path").fork(step))
      : undefined;
    return this.#engine.kind === "full"
      ? this.#fullStep(this.#engine.program, data, dropPath)
      : this.#cachedStep(this.#engine.programs, this.#engine.chunk, data, dropPath);
  }

  constrain(): void {
    const scale = this.weights.get("logitScale")?.data; // absent where it is not learnt
    if (scale) scale[0] = Math.min(scale[0], Math.log(this.#options.maxLogitScale));
  }

  async dispose(): Promise<void> {
    const engine = this.#engine;
    const programs = engine.kind === "full" ? [engine.program] : Object.values(engine.programs);
    for (const program of programs) await program.dispose();
  }

  #parameterFeeds(): Map<string, FeedData> {
    return new Map([...this.weights].map(([name, { data }]) => [name, data]));
  }

  async #fullStep(program: Program, data: ContrastiveBatch, dropPath?: Float32Array): Promise<StepResult> {
    const feeds = this.#parameterFeeds();
    feeds.set("pixels", data.pixels).set("labels", data.labels);
    if (data.further) feeds.set("further", data.further);
    if (data.anchors) feeds.set("anchors", data.anchors);
    for (const [name, { data: values }] of Object.entries(data.texts)) feeds.set(name, values);
    if (dropPath) feeds.set("dropPath", dropPath);
    const started = performance.now();
    const outputs = await program.run(feeds);
    const engineMs = performance.now() - started;
    return { loss: Number((outputs.loss as Float32Array)[0]), gradients: gradientsIn(outputs), engineMs };
  }

  async #cachedStep(
    programs: GradientCachePrograms,
    chunk: number,
    data: ContrastiveBatch,
    dropPath?: Float32Array,
  ): Promise<StepResult> {
    const { batch, shape, texts: textCount = batch } = this.#options;
    const { embedding } = shape;
    const textChunk = textCount / (batch / chunk);
    const parameters = this.#parameterFeeds();
    const pixelsPerImage = data.pixels.length / batch;
    let engineMs = 0;
    const run = async (program: Program, feeds: Map<string, FeedData>) => {
      const started = performance.now();
      const outputs = await program.run(feeds);
      engineMs += performance.now() - started;
      return outputs;
    };
    const textStart = (from: number): number => (from / chunk) * textChunk;
    const chunkFeeds = (from: number): Map<string, FeedData> => {
      const firstText = textStart(from);
      const feeds = new Map(parameters);
      feeds.set("pixels", data.pixels.subarray(from * pixelsPerImage, (from + chunk) * pixelsPerImage));
      for (const [name, { data: values, width }] of Object.entries(data.texts)) {
        feeds.set(name, values.subarray(firstText * width, (firstText + textChunk) * width));
      }
      if (dropPath) feeds.set("dropPath", columnsOf(dropPath, batch, from, chunk));
      return feeds;
    };

    const images = new Float32Array(batch * embedding);
    const texts = new Float32Array(textCount * embedding);
    for (let from = 0; from < batch; from += chunk) {
      const outputs = await run(programs.forward, chunkFeeds(from));
      images.set(outputs.images as Float32Array, from * embedding);
      texts.set(outputs.texts as Float32Array, textStart(from) * embedding);
    }
    const feeds = new Map<string, FeedData>(parameters);
    feeds.set("images", images).set("texts", texts).set("labels", data.labels);
    if (data.further) feeds.set("further", data.further);
    if (data.anchors) feeds.set("anchors", data.anchors);
    const lossOutputs = await run(programs.loss, feeds);
    const gradients = new Map<string, Float32Array>();
    for (let from = 0; from < batch; from += chunk) {
      const chunkInputs = chunkFeeds(from);
      const rowsOf = (matrix: FeedData, first: number, count: number): Float32Array =>
        (matrix as Float32Array).subarray(first * embedding, (first + count) * embedding);
      chunkInputs.set("imageGradient", rowsOf(lossOutputs.imageGradient, from, chunk));
      chunkInputs.set("textGradient", rowsOf(lossOutputs.textGradient, textStart(from), textChunk));
      accumulate(gradients, gradientsIn(await run(programs.backward, chunkInputs)));
    }
    for (const [name, gradient] of gradientsIn(lossOutputs)) gradients.set(name, gradient);
    return { loss: Number((lossOutputs.loss as Float32Array)[0]), gradients, engineMs };
  }
}

function gradientsIn(outputs: Record<string, FeedData>): Map<string, Float32Array> {
  const gradients = new Map<string, Float32Array>();
  for (const [name, data] of Object.entries(outputs)) {
    if (name.startsWith(gradientPrefix)) gradients.set(name.slice(gradientPrefix.length), data as Float32Array);
  }
  return gradients;
}

function accumulate(total: Map<string, Float32Array>, more: ReadonlyMap<string, Float32Array>): void {
  for (const [name, values] of more) {
    const sums = total.get(name);
    if (!sums) total.set(name, values);
    else for (let i = 0; i < sums.length; i++) sums[i] += values[i];
  }
}

/** Columns `from … from + count − 1` of a matrix with `columns` columns. */
function columnsOf(matrix: Float32Array, columns: number, from: number, count: number): Float32Array {
  const rows = matrix.length / columns;
  const part = new Float32Array(rows * count);
  for (let r = 0; r < rows; r++) part.set(matrix.subarray(r * columns + from, r * columns + from + count), r * count);
  return part;
}
