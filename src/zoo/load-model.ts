import { fileURLToPath } from "node:url";
import type { EncoderLevel } from "../core/encoder-level.ts";
import { UserError } from "../core/errors.ts";
import type { PreparedImage, RgbImage } from "../core/image.ts";
import type { Precision } from "../core/precision.ts";
import type { Scoring } from "../core/scoring.ts";
import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import type { WorkerThread } from "../runtime/worker-thread.ts";
import type { LoadOptions, ModelCallOptions, ThreadedModel } from "./florence-model.ts";
import type { ImageOutput, ModelFacts } from "./model-engine.ts";
import { findModel } from "./model-names.ts";
import type { ModelCalls } from "./model-worker.ts";
import { PixelThreads } from "./pixel-threads.ts";

/** Folder of the models that come with the package. */
const weightsFolder = fileURLToPath(new URL("../../weights", import.meta.url));

const entry = new URL(import.meta.url.endsWith(".ts") ? "model-worker.ts" : "model-worker.js", import.meta.url);

const largestBatch = 32;
const firstBatch = 4;
/** How long a run shall take: it cannot be stopped, and an abort is to be followed within a second. */
const runMilliseconds = 300;
/** Texts a call of the worker: sorted by length among themselves. */
const textsPerCall = 8192;

/**
 * Loads a bundled model by name, a checkpoint folder by path, or a model of the hub as `OWNER/NAME[@REV]`, which is
 * downloaded at its first use. Strict: a missing, extra or misshapen tensor is an
 * error that names it. With `imageSize` position embeddings are interpolated, as the family's own library does. The
 * model reads and computes in worker threads: no call blocks this one.
 */
export async function loadModel(nameOrDirectory: string, options: LoadOptions = {}): Promise<ThreadedModel> {
  const { precision = "float32", threads, imageSize, signal } = options;
  const folder = await findModel(nameOrDirectory, { weightsFolder, ...(signal && { signal }) });
  const worker = borrowWorker<ModelCalls>(entry);
  try {
    return new LoadedModel(
      worker,
      await worker.call("load", { folder, options: { precision, threads, imageSize } }, { signal }),
      precision,
    );
  } catch (error) {
    if (signal?.aborted)
      void worker.terminate(); // it may be loading still
    else returnWorker(entry, worker);
    throw error;
  }
}

class LoadedModel implements ThreadedModel {
  readonly name: string;
  readonly fingerprint: string;
  readonly embedDim: number;
  readonly featureDim: number;
  readonly logitScale: number;
  readonly scoring: Scoring;
  readonly precision: Precision;
  readonly embedRegions: ThreadedModel["embedRegions"];
  readonly #worker: WorkerThread<ModelCalls>;
  readonly #pixels: PixelThreads;
  readonly #side: number;
  #isDisposed = false;
  #millisecondsPerImage: number | undefined;

  constructor(worker: WorkerThread<ModelCalls>, facts: ModelFacts, precision: Precision) {
    this.name = facts.name;
    this.fingerprint = facts.fingerprint;
    this.embedDim = facts.embedDim;
    this.featureDim = facts.featureDim;
    this.logitScale = facts.logitScale;
    this.scoring = facts.scoring;
    this.precision = precision;
    if (facts.givesRegions) this.embedRegions = (...call) => this.#regions(...call);
    this.#worker = worker;
    this.#pixels = new PixelThreads(facts.preprocessing);
    this.#side = facts.preprocessing.size;
  }

  async embedImages(images: readonly RgbImage[], options: ModelCallOptions = {}): Promise<Float32Array[]> {
    return this.#encode(images, "embedding", options);
  }

  async imageFeatures(images: readonly RgbImage[], options: ModelCallOptions = {}): Promise<Float32Array[]> {
    return this.#encode(images, "features", options);
  }

  async #regions(
    source: RgbImage | EncoderLevel,
    boxesXyxy: Float32Array,
    { signal }: ModelCallOptions = {},
  ): Promise<Float32Array[]> {
    this.#requireOpen();
    if (boxesXyxy.length === 0) return [];
    const { width, height } = source;
    const run = "tokens" in source ? { level: source, boxesXyxy } : { pixels: source.data, width, height, boxesXyxy };
    return rowsOf(await this.#worker.call("regions", run, { signal }), boxesXyxy.length / 4);
  }

  async readImage(path: string, options: ModelCallOptions = {}): Promise<PreparedImage> {
    this.#requireOpen();
    return this.#pixels.readFile(path, options);
  }

  async embedPrepared(images: readonly PreparedImage[], options: ModelCallOptions = {}): Promise<Float32Array[]> {
    return this.#encodePrepared(images, "embedding", options);
  }

  async preparedFeatures(images: readonly PreparedImage[], options: ModelCallOptions = {}): Promise<Float32Array[]> {
    return this.#encodePrepared(images, "features", options);
  }

  async embedTexts(texts: readonly string[], { signal }: ModelCallOptions = {}): Promise<Float32Array[]> {
    this.#requireOpen();
    const results: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += textsPerCall) {
      const group = texts.slice(from, from + textsPerCall);
      const embeddings = await this.#worker.call("texts", { texts: group }, { signal });
      results.push(...rowsOf(embeddings, group.length));
    }
    return results;
  }

  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#pixels.dispose();
    await this.#worker.call("dispose", null);
    returnWorker(entry, this.#worker);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #encode(images: readonly RgbImage[], output: ImageOutput, options: ModelCallOptions): Promise<Float32Array[]> {
    this.#requireOpen();
    const results: Float32Array[] = [];
    const prepare = (from: number) =>
      Promise.all(images.slice(from, from + largestBatch).map((image) => this.#pixels.prepare(image, options)));
    for (let from = 0, next = prepare(0); from < images.length; from += largestBatch) {
      const prepared = await next;
      next = prepare(from + largestBatch); // resized while these are embedded
      next.catch(() => undefined); // awaited in the next round, if there is one
      results.push(...(await this.#encodePrepared(prepared, output, options)));
    }
    return results;
  }

  async #encodePrepared(
    images: readonly PreparedImage[],
    output: ImageOutput,
    { signal }: ModelCallOptions,
  ): Promise<Float32Array[]> {
    this.#requireOpen();
    const results: Float32Array[] = [];
    const bytes = this.#side ** 2 * 3;
    for (let from = 0; from < images.length; ) {
      const group = images.slice(from, from + this.#batchSize());
      const pixels = new Uint8Array(group.length * bytes);
      for (const [i, image] of group.entries()) pixels.set(this.#checked(image), i * bytes);
      const started = performance.now();
      const payload = { pixels, count: group.length, output };
      const matrix = await this.#worker.call("images", payload, { signal, transfer: [pixels.buffer] });
      this.#learn((performance.now() - started) / group.length);
      results.push(...rowsOf(matrix, group.length));
      from += group.length;
    }
    return results;
  }

  #batchSize(): number {
    if (this.#millisecondsPerImage === undefined) return firstBatch;
    return Math.max(1, Math.min(largestBatch, Math.floor(runMilliseconds / this.#millisecondsPerImage)));
  }

  /** The fastest seen counts: others are slowed down by work beside, and the first by the loading of the session. */
  #learn(milliseconds: number): void {
    this.#millisecondsPerImage = Math.min(milliseconds, this.#millisecondsPerImage ?? milliseconds);
  }

  #checked({ side, data }: PreparedImage): Uint8Array {
    if (side === this.#side) return data;
    throw new UserError("mismatch", `${this.name}: pictures must be prepared to ${this.#side} pixels, got ${side}.`);
  }

  #requireOpen(): void {
    if (this.#isDisposed) throw new Error(`${this.name}: must not be used after dispose()`);
  }
}

function rowsOf(matrix: Float32Array, rows: number): Float32Array[] {
  const width = matrix.length / rows;
  return Array.from({ length: rows }, (_, i) => matrix.slice(i * width, (i + 1) * width));
}
