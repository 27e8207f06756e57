import { UserError } from "../core/errors.ts";
import type { PreparedImage, RgbImage } from "../core/image.ts";
import { type FailedFile, type FoundFile, failedFile } from "../io/file-walk.ts";
import { type DecodedFile, decodeImageFiles, type ImageStreamOptions } from "../io/image-stream.ts";

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The half of a model that images need. */
export interface ImageEmbedder {
  embedImages(images: readonly RgbImage[], options?: CallOptions): Promise<Float32Array[]>;
  /** Reads a file away from this thread; a model that has this has `embedPrepared` too. */
  readImage?(path: string, options?: CallOptions): Promise<PreparedImage>;
  embedPrepared?(images: readonly PreparedImage[], options?: CallOptions): Promise<Float32Array[]>;
}

/** The half of a model that gives features. */
export interface ImageFeaturizer {
  imageFeatures(images: readonly RgbImage[], options?: CallOptions): Promise<Float32Array[]>;
  readImage?(path: string, options?: CallOptions): Promise<PreparedImage>;
  preparedFeatures?(images: readonly PreparedImage[], options?: CallOptions): Promise<Float32Array[]>;
}

/** A file with its L2-normalised embedding. */
export interface EmbeddedFile {
  readonly file: FoundFile;
  readonly embedding: Float32Array;
}

export interface EmbedOptions extends ImageStreamOptions {
  /** Images a run of the model. */
  readonly batchSize?: number;
  /** Pixels' bytes after which a batch is closed early, so that large photos do not fill memory. */
  readonly batchBytes?: number;
}

/** The model with its features in the place of its embeddings: `embedImageFiles` then gives features. */
export function featuresAsEmbeddings(model: ImageFeaturizer): ImageEmbedder {
  const { readImage, preparedFeatures } = model;
  return {
    embedImages: (images, options) => model.imageFeatures(images, options),
    ...(readImage && { readImage: (path, options) => readImage.call(model, path, options) }),
    ...(preparedFeatures && { embedPrepared: (images, options) => preparedFeatures.call(model, images, options) }),
  };
}

/**
 * Embeds image files in batches and in order; a file that fails is a failure in its place. The next files are read
 * while a batch is embedded. Memory is constant: two batches, and the files read ahead.
 */
export async function* embedImageFiles(
  files: AsyncIterable<FoundFile | FailedFile>,
  embedder: ImageEmbedder,
  options: EmbedOptions = {},
): AsyncGenerator<EmbeddedFile | FailedFile> {
  const { readImage, embedPrepared } = embedder;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  if (readImage && embedPrepared && !options.decode) {
    const decode = (path: string) => readImage.call(embedder, path, { signal });
    const embed = (images: readonly PreparedImage[]) => embedPrepared.call(embedder, images, { signal });
    // Prepared pictures are small, and a batch of them must be ready whenever the last one is done.
    const decodeAhead = options.decodeAhead ?? 32;
    yield* embedStream(files, embed, { ...options, decode, decodeAhead, signal, stop, oneByOne: false });
  } else {
    const embed = (images: readonly RgbImage[]) => embedder.embedImages(images, { signal });
    yield* embedStream(files, embed, { ...options, signal, stop, oneByOne: true }); // whole pictures, and anyone's model
  }
}

/** The second waits at the model while the first is embedded, so that its threads do not run out of work between them. */
const batchesAtATime = 2;

type Entry<Image> = DecodedFile<Image> | FailedFile;
type Embed<Image> = (images: readonly Image[]) => Promise<Float32Array[]>;

type BatchOptions<Image> = Omit<EmbedOptions, "decode"> & ImageStreamOptions<Image>;

interface StreamOptions<Image> extends BatchOptions<Image> {
  /** Ends `signal`, so that a consumer who leaves early need not wait for batches under way. */
  readonly stop: AbortController;
  /** Whether a batch waits until the one before it is embedded. */
  readonly oneByOne: boolean;
}

async function* embedStream<Image extends { readonly data: Uint8Array }>(
  files: AsyncIterable<FoundFile | FailedFile>,
  embed: Embed<Image>,
  options: StreamOptions<Image>,
): AsyncGenerator<EmbeddedFile | FailedFile> {
  const batches = batchesOf(files, options)[Symbol.asyncIterator]();
  const embedNext = async (before: Promise<unknown> | undefined) => {
    const batch = await batches.next();
    if (options.oneByOne) await before;
    return batch.done ? undefined : embedBatch(batch.value, embed);
  };
  const pending: Promise<(EmbeddedFile | FailedFile)[] | undefined>[] = [];
  const begin = () => {
    const next = embedNext(pending.at(-1));
    next.catch(() => undefined); // awaited in its turn
    pending.push(next);
  };
  try {
    for (let i = 0; i < batchesAtATime; i++) begin();
    for (let batch = await pending[0]; batch; batch = await pending[0]) {
      pending.shift();
      begin();
      yield* batch;
      options.signal?.throwIfAborted();
    }
  } finally {
    options.stop.abort();
    await Promise.allSettled(pending);
    await batches.return?.(undefined);
  }
}

async function* batchesOf<Image extends { readonly data: Uint8Array }>(
  files: AsyncIterable<FoundFile | FailedFile>,
  options: BatchOptions<Image>,
): AsyncGenerator<Entry<Image>[]> {
  const { batchSize = 32, batchBytes = 256 * 2 ** 20 } = options;
  let batch: Entry<Image>[] = [];
  let images = 0;
  let bytes = 0;
  for await (const decoded of decodeImageFiles(files, options)) {
    batch.push(decoded);
    if (!("error" in decoded)) {
      images++;
      bytes += decoded.image.data.byteLength;
    }
    // Failures count towards the length too: a long run of bad files must not pile up unreported.
    if (images >= batchSize || bytes >= batchBytes || batch.length >= 4 * batchSize) {
      yield batch;
      batch = [];
      images = 0;
      bytes = 0;
    }
  }
  yield batch;
}

async function embedBatch<Image>(
  batch: readonly Entry<Image>[],
  embed: Embed<Image>,
): Promise<(EmbeddedFile | FailedFile)[]> {
  const images = batch.flatMap((entry) => ("error" in entry ? [] : [entry.image]));
  if (images.length === 0) return batch as FailedFile[];
  let embeddings: Float32Array[];
  try {
    embeddings = await embed(images);
  } catch (error) {
    if (!(error instanceof UserError) || error.code === "cancelled") throw error;
    return embedOneByOne(batch, embed);
  }
  let next = 0;
  return batch.map((entry) =>
    "error" in entry ? entry : { file: entry.file, embedding: embeddings[next++] as Float32Array },
  );
}

/** One image that the model refuses (an absurd shape, say) must not take its neighbours with it. */
async function embedOneByOne<Image>(
  batch: readonly Entry<Image>[],
  embed: Embed<Image>,
): Promise<(EmbeddedFile | FailedFile)[]> {
  const results: (EmbeddedFile | FailedFile)[] = [];
  for (const entry of batch) {
    if ("error" in entry) {
      results.push(entry);
      continue;
    }
    try {
      const [embedding] = await embed([entry.image]);
      results.push({ file: entry.file, embedding: embedding as Float32Array });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const { path } = entry.file;
      results.push(failedFile(path, new UserError(error.code, `${path}: ${error.message}`, { cause: error })));
    }
  }
  return results;
}
