import { fileURLToPath } from "node:url";
import type { EncoderLevel } from "../core/encoder-level.ts";
import type { PreparedImage, RgbImage } from "../core/image.ts";
import type { Precision } from "../core/precision.ts";
import type { Scoring } from "../core/scoring.ts";
import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import { wholeBuffer } from "../runtime/worker-calls.ts";
import type { WorkerThread } from "../runtime/worker-thread.ts";
import type { LoadOptions, ModelCallOptions, ThreadedModel } from "./florence-model.ts";
import { ImageQueue, type ImageSession, rowsOf } from "./image-queue.ts";
import type { ImageOutput } from "./image-run.ts";
import { startStreams } from "./image-streams.ts";
import type { ModelFacts } from "./model-engine.ts";
import { findModel } from "./model-names.ts";
import type { ModelCalls } from "./model-worker.ts";
import { PixelThreads } from "./pixel-threads.ts";
import { planStreams, type StreamPlan } from "./stream-plan.ts";

/** Folder of the models that come with the package. */
const weightsFolder = fileURLToPath(new URL("../../weights", import.meta.url));

const entry = new URL(import.meta.url.endsWith(".ts") ? "model-worker.ts" : "model-worker.js", import.meta.url);

/** Pictures that are resized while as many are embedded. */
const preparedAhead = 32;
/** Pictures a stream from which on a call goes to the streams: with fewer, all threads in one session are as fast. */
const picturesPerStream = 4;
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
    const facts = await worker.call("load", { folder, options: { precision, threads, imageSize } }, { signal });
    const { imageParameters } = facts;
    return new LoadedModel(worker, facts, precision, planStreams({ ...options, precision, imageParameters }));
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
  readonly #plan: StreamPlan;
  /** The model's own session, which has all threads: the fastest for one picture. */
  readonly #single: ImageQueue;
  readonly #streams: ImageQueue;
  #isDisposed = false;

  constructor(worker: WorkerThread<ModelCalls>, facts: ModelFacts, precision: Precision, plan: StreamPlan) {
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
    this.#plan = plan;
    const queue = { name: this.name, side: facts.preprocessing.size };
    this.#single = new ImageQueue({ ...queue, sessions: 1, start: () => ownSession(worker) });
    const start = () => startStreams(() => worker.call("imageTower", null), queue.side, plan);
    this.#streams = new ImageQueue({ ...queue, sessions: plan.streams, start });
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
    const boxes = { boxesXyxy: wholeBuffer(boxesXyxy) };
    const run =
      "tokens" in source
        ? { level: { ...source, tokens: wholeBuffer(source.tokens) }, ...boxes }
        : { pixels: wholeBuffer(source.data), width, height, ...boxes };
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
    await Promise.all([this.#single.dispose(), this.#streams.dispose()]);
    if (!this.#worker.hasFailed) await this.#worker.call("dispose", null);
    returnWorker(entry, this.#worker);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #encode(images: readonly RgbImage[], output: ImageOutput, options: ModelCallOptions): Promise<Float32Array[]> {
    this.#requireOpen();
    const results: Float32Array[] = [];
    const prepare = (from: number) =>
      Promise.all(images.slice(from, from + preparedAhead).map((image) => this.#pixels.prepare(image, options)));
    let embedded: Promise<Float32Array[]> = Promise.resolve([]);
    for (let from = 0, next = prepare(0); from < images.length; from += preparedAhead) {
      const prepared = await next;
      next = prepare(from + preparedAhead); // resized while these are embedded
      const before = embedded;
      embedded = this.#encodePrepared(prepared, output, options);
      for (const promise of [next, embedded]) promise.catch(() => undefined); // awaited in the next round, if there is one
      results.push(...(await before));
    }
    results.push(...(await embedded));
    return results;
  }

  async #encodePrepared(
    images: readonly PreparedImage[],
    output: ImageOutput,
    options: ModelCallOptions,
  ): Promise<Float32Array[]> {
    this.#requireOpen();
    // A small call beside a large one joins it: the last files of many must not load a session of their own.
    const isLarge = images.length >= picturesPerStream * this.#plan.streams || this.#streams.isBusy;
    return (this.#plan.streams > 1 && isLarge ? this.#streams : this.#single).encode(images, output, options);
  }

  #requireOpen(): void {
    if (this.#isDisposed) throw new Error(`${this.name}: must not be used after dispose()`);
  }
}

/** That of the model's own worker, which is released with the model. */
async function* ownSession(worker: WorkerThread<ModelCalls>): AsyncGenerator<ImageSession> {
  if (worker.hasFailed) throw new Error("the model's thread must be alive, it has ended. Load the model again.");
  yield {
    get hasFailed() {
      return worker.hasFailed;
    },
    images: (payload, options) => worker.call("images", payload, options),
    release: async () => undefined,
  };
}
