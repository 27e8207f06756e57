import { createHash } from "node:crypto";
import { join } from "node:path";
import { readMatrixFile, writeMatrixFile } from "../../io/matrix-file.ts";
import { averageTextEmbeddings } from "./text-averages.ts";
import type { TextEmbedder } from "./types.ts";

export interface ClassEmbeddingOptions {
  /** Where finished class embeddings are kept; without it nothing is read or written. */
  readonly cacheFolder?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (labelsDone: number) => void;
  /** Told when the cache cannot be written; the result is unaffected. */
  readonly onWarning?: (message: string) => void;
}

/**
 * One unit vector a label: every template filled and embedded, each L2-normalised, averaged, normalised again
 * (Radford et al., arXiv:2103.00020 §3.1.4). Cached by model fingerprint, templates and labels.
 *
 * @returns [labels × embedDim]
 */
export async function embedClasses(
  embedder: TextEmbedder,
  labels: readonly string[],
  templates: readonly string[],
  options: ClassEmbeddingOptions = {},
): Promise<Float32Array> {
  const { cacheFolder } = options;
  if (!cacheFolder) return averageTextEmbeddings(embedder, labels, templates, options);
  const key = JSON.stringify([embedder.fingerprint, templates, labels]);
  const name = `${createHash("sha256").update(key).digest("hex").slice(0, 40)}.f32`;
  const path = join(cacheFolder, "class-embeddings", name);
  const cached = await readMatrixFile(path, labels.length, embedder.embedDim);
  if (cached) return cached;
  const computed = await averageTextEmbeddings(embedder, labels, templates, options);
  try {
    await writeMatrixFile(path, computed, embedder.embedDim);
  } catch (error) {
    options.onWarning?.(`Class embeddings are not kept: ${error instanceof Error ? error.message : String(error)}`);
  }
  return computed;
}
