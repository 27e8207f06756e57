import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import { type FailedFile, type FoundFile, failedFile } from "../io/file-walk.ts";
import { type DecodedFile, decodeImageFiles, type ImageStreamOptions } from "../io/image-stream.ts";

/** The half of a model that images need. */
export interface ImageEmbedder {
  embedImages(images: readonly RgbImage[]): Promise<Float32Array[]>;
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

/** Embeds image files in batches and in order; a file that fails is a failure in its place. Memory is constant. */
export async function* embedImageFiles(
  files: AsyncIterable<FoundFile | FailedFile>,
  embedder: ImageEmbedder,
  options: EmbedOptions = {},
): AsyncGenerator<EmbeddedFile | FailedFile> {
  const { batchSize = 32, batchBytes = 256 * 2 ** 20 } = options;
  let batch: (DecodedFile | FailedFile)[] = [];
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
      yield* await embedBatch(batch, embedder);
      options.signal?.throwIfAborted();
      batch = [];
      images = 0;
      bytes = 0;
    }
  }
  yield* await embedBatch(batch, embedder);
}

async function embedBatch(
  batch: readonly (DecodedFile | FailedFile)[],
  embedder: ImageEmbedder,
): Promise<(EmbeddedFile | FailedFile)[]> {
  const images = batch.flatMap((entry) => ("error" in entry ? [] : [entry.image]));
  if (images.length === 0) return batch as FailedFile[];
  let embeddings: Float32Array[];
  try {
    embeddings = await embedder.embedImages(images);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return embedOneByOne(batch, embedder);
  }
  let next = 0;
  return batch.map((entry) =>
    "error" in entry ? entry : { file: entry.file, embedding: embeddings[next++] as Float32Array },
  );
}

/** One image that the model refuses (an absurd shape, say) must not take its neighbours with it. */
async function embedOneByOne(
  batch: readonly (DecodedFile | FailedFile)[],
  embedder: ImageEmbedder,
): Promise<(EmbeddedFile | FailedFile)[]> {
  const results: (EmbeddedFile | FailedFile)[] = [];
  for (const entry of batch) {
    if ("error" in entry) {
      results.push(entry);
      continue;
    }
    try {
      const [embedding] = await embedder.embedImages([entry.image]);
      results.push({ file: entry.file, embedding: embedding as Float32Array });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const { path } = entry.file;
      results.push(failedFile(path, new UserError(error.code, `${path}: ${error.message}`, { cause: error })));
    }
  }
  return results;
}
