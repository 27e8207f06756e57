import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { EmbeddingCache } from "../io/embedding-cache.ts";
import { type FailedFile, failedFile } from "../io/file-walk.ts";
import type { EvaluationContext } from "./evaluation-task.ts";

/** Vectors of images, one a row. */
export interface ImageRows {
  /** The images that could be used, in the order given. */
  readonly images: readonly LabelledImage[];
  readonly rows: Float32Array; // [images, dim]
  readonly dim: number;
  readonly failed: number;
}

/** `embedding`: projected, of length 1, comparable with texts. `features`: what the encoder gives before the projection. */
export type RowKind = "embedding" | "features";

type RowContext = Pick<
  EvaluationContext,
  "model" | "set" | "cacheFolder" | "signal" | "onProgress" | "onFailure" | "onWarning"
>;

const batchSize = 32;
const decodeAhead = 2 * batchSize;
const batchesPerAppend = 4; // what a killed run loses at most

/**
 * The vectors of these images by the context's model. Each image is computed once for a model and a set of data, and
 * kept in the cache folder as soon as a few are there, so that a killed run goes on where it was. Images that cannot
 * be decoded are reported and left out.
 *
 * @throws UserError (corrupt) if none of the images can be used
 */
export async function imageRows(
  context: RowContext,
  images: readonly LabelledImage[],
  kind: RowKind,
): Promise<ImageRows> {
  const { model, set, cacheFolder, onWarning } = context;
  const dim = kind === "embedding" ? model.embedDim : model.featureDim;
  const cache = await EmbeddingCache.open(`/labelled-sets/${set.fingerprint}/${kind}`, {
    cacheFolder,
    fingerprint: model.fingerprint,
    embedDim: dim,
  }).catch((error: unknown) => {
    onWarning?.(`Embeddings are not kept for the next run: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  });
  const known = new Map<string, Float32Array>();
  for (const { key } of images) {
    const row = cache?.get(key, 0, 0);
    if (row) known.set(key, row);
  }
  try {
    const missing = images.filter(({ key }) => !known.has(key));
    if (missing.length > 0) await embedMissing(context, missing, kind, known, cache);
  } finally {
    await cache?.close();
  }
  const used = images.filter(({ key }) => known.has(key));
  if (used.length === 0 && images.length > 0) {
    throw new UserError("corrupt", `${set.name}: must have images that decode, got none of ${images.length}.`);
  }
  const rows = new Float32Array(used.length * dim);
  for (const [i, { key }] of used.entries()) rows.set(known.get(key) as Float32Array, i * dim);
  return { images: used, rows, dim, failed: images.length - used.length };
}

async function embedMissing(
  { model, set, signal, onProgress, onFailure }: RowContext,
  missing: readonly LabelledImage[],
  kind: RowKind,
  known: Map<string, Float32Array>,
  cache: EmbeddingCache | undefined,
): Promise<void> {
  let waiting: string[] = [];
  let done = 0;
  const store = async () => {
    const records = waiting.map((key) => ({
      path: key,
      size: 0,
      mtimeMs: 0,
      embedding: known.get(key) as Float32Array,
    }));
    waiting = [];
    await cache?.append(records);
  };
  const embed = (pixels: readonly RgbImage[]) =>
    kind === "embedding" ? model.embedImages(pixels) : model.imageFeatures(pixels);
  for await (const batch of decodedBatches(missing, (image) => set.decode(image), signal)) {
    const failures = batch.flatMap((entry) => ("error" in entry ? [entry] : []));
    for (const failure of failures) onFailure?.(failure);
    const decoded = batch.flatMap((entry) => ("error" in entry ? [] : [entry]));
    for (const { image, row } of await embedEach(decoded, embed, onFailure)) {
      known.set(image.key, row);
      waiting.push(image.key);
    }
    done += batch.length;
    onProgress?.(kind === "embedding" ? "embed" : "features", done, missing.length, "pictures");
    if (waiting.length >= batchesPerAppend * batchSize) await store();
  }
  await store();
}

interface Decoded {
  readonly image: LabelledImage;
  readonly pixels: RgbImage;
}

/** Embeds a batch; where the model refuses it, one by one, so that a bad image takes no other with it. */
async function embedEach(
  decoded: readonly Decoded[],
  embed: (pixels: readonly RgbImage[]) => Promise<Float32Array[]>,
  onFailure: RowContext["onFailure"],
): Promise<{ image: LabelledImage; row: Float32Array }[]> {
  if (decoded.length === 0) return [];
  try {
    const rows = await embed(decoded.map(({ pixels }) => pixels));
    return decoded.map(({ image }, i) => ({ image, row: rows[i] }));
  } catch (error) {
    if (!(error instanceof UserError) || error.code === "cancelled") throw error;
    if (decoded.length === 1) {
      onFailure?.(failedFile(decoded[0].image.key, error));
      return [];
    }
    const single = [];
    for (const one of decoded) single.push(...(await embedEach([one], embed, onFailure)));
    return single;
  }
}

/** Decodes a few images ahead of the consumer, in batches and in order. */
async function* decodedBatches(
  images: readonly LabelledImage[],
  decode: (image: LabelledImage) => Promise<RgbImage>,
  signal: AbortSignal | undefined,
): AsyncGenerator<(Decoded | FailedFile)[]> {
  const decodeOne = (image: LabelledImage): Promise<Decoded | FailedFile> =>
    decode(image).then(
      (pixels) => ({ image, pixels }),
      (error: unknown) => failedFile(image.key, error),
    );
  const pending: Promise<Decoded | FailedFile>[] = [];
  let next = 0;
  try {
    while (next < images.length || pending.length > 0) {
      signal?.throwIfAborted();
      while (next < images.length && pending.length < decodeAhead) pending.push(decodeOne(images[next++]));
      yield await Promise.all(pending.splice(0, batchSize));
    }
  } finally {
    await Promise.all(pending); // decodeOne never rejects: this only waits for reads under way
  }
}
