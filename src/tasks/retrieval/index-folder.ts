import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import { EmbeddingCache } from "../../io/embedding-cache.ts";
import type { CachedEmbedding } from "../../io/embedding-frame.ts";
import { fileError } from "../../io/file-errors.ts";
import { type FailedFile, type FoundFile, walkImageFiles } from "../../io/file-walk.ts";
import {
  type EmbeddedFile,
  type EmbedOptions,
  embedImageFiles,
  type ImageEmbedder,
} from "../../search/embed-images.ts";
import { ImageCollection } from "./retrieval.ts";

/** What a folder's index is made with. */
export interface FolderEmbedder extends ImageEmbedder {
  readonly fingerprint: string;
  readonly embedDim: number;
}

export interface IndexFolderOptions extends EmbedOptions {
  readonly cacheFolder: string;
  /** Told each file that cannot be used, as it is met. */
  readonly onFailure?: (failure: FailedFile) => void | Promise<void>;
  readonly onProgress?: (progress: { done: number; total: number }) => void;
  /** Told when the cache cannot be used; the result is unaffected. */
  readonly onWarning?: (message: string) => void;
}

/** The searchable folder, and how its pictures were come by. */
export interface IndexedFolder {
  readonly collection: ImageCollection;
  readonly embedded: number;
  readonly reused: number;
  readonly dropped: number;
  readonly failed: number;
}

const filesPerAppend = 64; // what a killed run loses at most

/**
 * Embeds the pictures of a folder that are new or changed, takes the others from the cache, and forgets those that
 * are gone. What is embedded is stored every few batches, so a killed run is continued by the next.
 *
 * @throws UserError if `folder` is missing or no folder
 */
export async function indexFolder(
  folder: string,
  model: FolderEmbedder,
  options: IndexFolderOptions,
): Promise<IndexedFolder> {
  await requireFolder(folder);
  const cache = await openCache(folder, model, options);
  const store = new CacheWriter(cache, options.onWarning);
  const embeddings = new Map<string, Float32Array>(); // by path as walked, in that order
  const missing: FoundFile[] = [];
  let failed = 0;
  const fail = async (failure: FailedFile) => {
    failed++;
    await options.onFailure?.(failure);
  };
  try {
    for await (const file of walkImageFiles([folder], options)) {
      if ("error" in file) {
        await fail(file);
        continue;
      }
      const known = cache?.get(resolve(file.path), file.size, file.mtimeMs);
      embeddings.set(file.path, known ?? new Float32Array(0)); // holds the place until it is embedded
      if (!known) missing.push(file);
    }
    const reused = embeddings.size - missing.length;
    const dropped = cache?.retain(new Set([...embeddings.keys()].map((path) => resolve(path)))) ?? 0;
    let done = 0;
    for await (const result of embedImageFiles(streamOf(missing), model, options)) {
      options.onProgress?.({ done: ++done, total: missing.length });
      if ("error" in result) {
        embeddings.delete(result.path);
        await fail(result);
      } else {
        embeddings.set(result.file.path, result.embedding);
        await store.add(result);
      }
    }
    const embedded = embeddings.size - reused;
    return { collection: collect(embeddings, model.embedDim), embedded, reused, dropped, failed };
  } finally {
    await store.close();
  }
}

/** Groups appends, and gives the cache up, with one warning, at the first error. */
class CacheWriter {
  #cache: EmbeddingCache | undefined;
  readonly #onWarning: ((message: string) => void) | undefined;
  #waiting: CachedEmbedding[] = [];

  constructor(cache: EmbeddingCache | undefined, onWarning?: (message: string) => void) {
    this.#cache = cache;
    this.#onWarning = onWarning;
  }

  async add({ file, embedding }: EmbeddedFile): Promise<void> {
    this.#waiting.push({ path: resolve(file.path), size: file.size, mtimeMs: file.mtimeMs, embedding });
    if (this.#waiting.length >= filesPerAppend) await this.#flush();
  }

  async close(): Promise<void> {
    await this.#flush();
    await this.#attempt((cache) => cache.close());
  }

  async #flush(): Promise<void> {
    const records = this.#waiting;
    this.#waiting = [];
    await this.#attempt((cache) => cache.append(records));
  }

  async #attempt(action: (cache: EmbeddingCache) => Promise<void>): Promise<void> {
    if (!this.#cache) return;
    try {
      await action(this.#cache);
    } catch (error) {
      this.#cache = undefined;
      this.#onWarning?.(notKept(error));
    }
  }
}

async function openCache(
  folder: string,
  { fingerprint, embedDim }: FolderEmbedder,
  { cacheFolder, onWarning }: IndexFolderOptions,
): Promise<EmbeddingCache | undefined> {
  try {
    return await EmbeddingCache.open(folder, { cacheFolder, fingerprint, embedDim });
  } catch (error) {
    onWarning?.(notKept(error));
    return undefined;
  }
}

async function requireFolder(folder: string): Promise<void> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(folder)).isDirectory();
  } catch (error) {
    throw fileError(folder, error);
  }
  if (!isFolder)
    throw new UserError("bad-argument", `${folder}: must be a folder, got a file. Name the folder it is in.`);
}

function collect(embeddings: ReadonlyMap<string, Float32Array>, embedDim: number): ImageCollection {
  const matrix = new Float32Array(embeddings.size * embedDim);
  let row = 0;
  for (const embedding of embeddings.values()) matrix.set(embedding, embedDim * row++);
  return new ImageCollection([...embeddings.keys()], matrix, embedDim);
}

async function* streamOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function notKept(error: unknown): string {
  return `Embeddings are not kept for the next run: ${error instanceof Error ? error.message : String(error)}`;
}
