import { fileURLToPath } from "node:url";
import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import type { Precision } from "../core/precision.ts";
import { restoreBoxes } from "../data/box-transforms/boxed-picture.ts";
import type { LetterboxConfig, LetterboxedImage } from "../data/box-transforms/letterboxed-image.ts";
import type { FoundInPicture } from "../models/detection/decode-detections.ts";
import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import { wholeBuffer } from "../runtime/worker-calls.ts";
import type { WorkerThread } from "../runtime/worker-thread.ts";
import type { NamedClasses } from "./detector-config.ts";
import type { DetectorFacts } from "./detector-engine.ts";
import { isDetectorFolder } from "./detector-files.ts";
import type { DetectOptions, DetectorLoadOptions, DetectorModel, ReadOptions } from "./detector-model.ts";
import type { DetectorCalls } from "./detector-worker.ts";
import { findModel } from "./model-names.ts";
import { PixelPool } from "./pixel-pool.ts";

/** Folder of the models that come with the package. */
const weightsFolder = fileURLToPath(new URL("../../weights", import.meta.url));

const entry = new URL(import.meta.url.endsWith(".ts") ? "detector-worker.ts" : "detector-worker.js", import.meta.url);

const largestBatch = 8;
/** How long a run shall take: it cannot be stopped, and an abort is to be followed within a second. */
const runMilliseconds = 300;

/**
 * Loads a bundled detector by name, a detector's folder by path, or one of the hub as `OWNER/NAME[@REV]`. Strict: a
 * missing, extra or misshapen tensor is an error that names it. It reads and computes in worker threads: no call blocks
 * this one.
 *
 * @throws UserError not-found, unsupported (a folder that holds something else), corrupt, mismatch
 */
export async function loadDetector(nameOrDirectory: string, options: DetectorLoadOptions = {}): Promise<DetectorModel> {
  const { precision = "float32", threads, signal } = options;
  const folder = await findModel(nameOrDirectory, { weightsFolder, ...(signal && { signal }) });
  if (!(await isDetectorFolder(folder))) {
    const rule = `${nameOrDirectory}: must be a detector's folder, its config.json says that it is none`;
    throw new UserError("unsupported", `${rule}. Name one that a detector was trained into.`);
  }
  const worker = borrowWorker<DetectorCalls>(entry);
  try {
    const facts = await worker.call("load", { folder, options: { precision, threads } }, { signal });
    return new LoadedDetector(worker, facts, precision);
  } catch (error) {
    if (signal?.aborted)
      void worker.terminate(); // it may be loading still
    else returnWorker(entry, worker);
    throw error;
  }
}

class LoadedDetector implements DetectorModel {
  readonly name: string;
  readonly fingerprint: string;
  readonly classes: NamedClasses;
  readonly embedDim: number | undefined;
  readonly encoderOf: string | undefined;
  readonly preprocessing: LetterboxConfig;
  readonly precision: Precision;
  readonly #worker: WorkerThread<DetectorCalls>;
  readonly #pixels = new PixelPool();
  #isDisposed = false;
  #millisecondsPerImage = runMilliseconds; // one picture a run until it is known to be faster

  constructor(worker: WorkerThread<DetectorCalls>, facts: DetectorFacts, precision: Precision) {
    this.name = facts.name;
    this.fingerprint = facts.fingerprint;
    this.classes = facts.classes;
    this.embedDim = facts.embedDim;
    const isModels = facts.backbone?.frozen && precision === "float32";
    this.encoderOf = isModels ? facts.backbone?.fingerprint : undefined;
    this.preprocessing = { ...facts.preprocessing, stride: facts.coarsestStride };
    this.precision = precision;
    this.#worker = worker;
  }

  async readImage(path: string, { keepsOriginal = false, signal }: ReadOptions = {}): Promise<LetterboxedImage> {
    this.#requireOpen();
    return this.#pixels.call("letterboxFile", { path, config: this.preprocessing, keepsOriginal }, { signal });
  }

  async detect(
    images: readonly (RgbImage | LetterboxedImage)[],
    options: DetectOptions = {},
  ): Promise<FoundInPicture[]> {
    this.#requireOpen();
    this.#requireTexts(options.texts);
    const results = new Array<FoundInPicture>(images.length);
    const prepared = await Promise.all(images.map((image) => this.#prepare(image, options)));
    for (const group of groupsOfOneSize(prepared)) {
      for (let from = 0; from < group.length; ) {
        const indices = group.slice(from, from + this.#batchSize());
        const found = await this.#run(
          indices.map((i) => prepared[i] as LetterboxedImage),
          options,
        );
        for (const [at, i] of indices.entries()) {
          results[i] = inOriginal(found[at] as FoundInPicture, prepared[i] as LetterboxedImage);
        }
        from += indices.length;
      }
    }
    return results;
  }

  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#pixels.dispose();
    if (!this.#worker.hasFailed) await this.#worker.call("dispose", null);
    returnWorker(entry, this.#worker);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #prepare(image: RgbImage | LetterboxedImage, { signal }: DetectOptions): Promise<LetterboxedImage> {
    if ("placement" in image) return image;
    const { width, height } = image;
    const payload = { image: { width, height, data: wholeBuffer(image.data) }, config: this.preprocessing };
    return this.#pixels.call("letterboxImage", payload, { signal });
  }

  async #run(group: readonly LetterboxedImage[], options: DetectOptions): Promise<FoundInPicture[]> {
    const { width, height } = group[0] as LetterboxedImage;
    const bytes = width * height * 3;
    const pixels = new Uint8Array(group.length * bytes);
    for (const [i, { data }] of group.entries()) pixels.set(data, i * bytes);
    const { texts, scoreThreshold, maxDetections, nmsThreshold, keepsLevel, signal } = options;
    const decode = {
      ...(scoreThreshold === undefined ? {} : { scoreThreshold }),
      ...(maxDetections === undefined ? {} : { limit: maxDetections }),
      ...(nmsThreshold === undefined ? {} : { iouThreshold: nmsThreshold }),
    };
    const started = performance.now();
    const run = { pixels, count: group.length, height, width, texts, decode, keepsLevel };
    const found = await this.#worker.call("detect", run, { signal, transfer: [pixels.buffer] });
    // The fastest seen counts: others are slowed down by work beside, and the first by the loading of the session.
    this.#millisecondsPerImage = Math.min(this.#millisecondsPerImage, (performance.now() - started) / group.length);
    return found;
  }

  #batchSize(): number {
    return Math.max(1, Math.min(largestBatch, Math.floor(runMilliseconds / this.#millisecondsPerImage)));
  }

  #requireTexts(texts: Float32Array | undefined): void {
    if (this.embedDim === undefined) {
      if (texts === undefined) return;
      throw new UserError("bad-argument", `${this.name}: its classes are fixed, got texts. Leave them out.`);
    }
    if (texts === undefined || texts.length === 0) {
      const rule = `${this.name}: its classes are texts, whose embeddings must be given, got none`;
      throw new UserError("bad-argument", `${rule}. Embed labels with ${embedderOf(this.classes)}.`);
    }
    if (texts.length % this.embedDim === 0) return;
    const rule = `${this.name}: class embeddings must have ${this.embedDim} numbers each`;
    throw new UserError("mismatch", `${rule}, got ${texts.length} numbers. Use ${embedderOf(this.classes)}.`);
  }

  #requireOpen(): void {
    if (this.#isDisposed) throw new Error(`${this.name}: must not be used after dispose()`);
  }
}

function embedderOf(classes: NamedClasses): string {
  return classes.kind === "text" ? classes.embedder.name : "no model";
}

/** Indices of pictures whose canvases are alike, in order. */
function groupsOfOneSize(images: readonly LetterboxedImage[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const [i, { width, height }] of images.entries()) {
    const key = `${width}×${height}`;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  return [...groups.values()];
}

function inOriginal(
  found: FoundInPicture,
  { originalWidth: width, originalHeight: height, placement }: LetterboxedImage,
) {
  return { ...found, boxes: restoreBoxes(found.boxes, placement, { width, height }) };
}
