import { createHash } from "node:crypto";
import { join } from "node:path";
import { readMatrixFile, writeMatrixFile } from "../../io/matrix-file.ts";
import { fillTemplate } from "./prompts.ts";
import type { TextEmbedder } from "./types.ts";

export interface ClassEmbeddingOptions {
  /** Where finished class embeddings are kept; without it nothing is read or written. */
  readonly cacheFolder?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (labelsDone: number) => void;
  /** Told when the cache cannot be written; the result is unaffected. */
  readonly onWarning?: (message: string) => void;
}

const textsPerRun = 256;

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
  if (!cacheFolder) return computeClassEmbeddings(embedder, labels, templates, options);
  const key = JSON.stringify([embedder.fingerprint, templates, labels]);
  const name = `${createHash("sha256").update(key).digest("hex").slice(0, 40)}.f32`;
  const path = join(cacheFolder, "class-embeddings", name);
  const cached = await readMatrixFile(path, labels.length, embedder.embedDim);
  if (cached) return cached;
  const computed = await computeClassEmbeddings(embedder, labels, templates, options);
  try {
    await writeMatrixFile(path, computed, embedder.embedDim);
  } catch (error) {
    options.onWarning?.(`Class embeddings are not kept: ${error instanceof Error ? error.message : String(error)}`);
  }
  return computed;
}

async function computeClassEmbeddings(
  embedder: TextEmbedder,
  labels: readonly string[],
  templates: readonly string[],
  { signal, onProgress }: ClassEmbeddingOptions,
): Promise<Float32Array> {
  const { embedDim } = embedder;
  const classes = new Float32Array(labels.length * embedDim);
  const labelsPerRun = Math.max(1, Math.floor(textsPerRun / templates.length));
  for (let start = 0; start < labels.length; start += labelsPerRun) {
    signal?.throwIfAborted();
    const group = labels.slice(start, start + labelsPerRun);
    const texts = group.flatMap((label) => templates.map((template) => fillTemplate(template, label)));
    const embeddings = await embedder.embedTexts(texts);
    group.forEach((_, i) => {
      const ofLabel = embeddings.slice(i * templates.length, (i + 1) * templates.length);
      classes.set(normalisedMean(ofLabel, embedDim), (start + i) * embedDim);
    });
    onProgress?.(start + group.length);
  }
  return classes;
}

/** The L2-normalised mean of the L2-normalised vectors. */
function normalisedMean(vectors: readonly Float32Array[], embedDim: number): Float32Array {
  const mean = new Float32Array(embedDim);
  for (const vector of vectors) {
    const norm = Math.hypot(...vector) || 1;
    for (let i = 0; i < embedDim; i++) mean[i] += vector[i] / norm;
  }
  const norm = Math.hypot(...mean) || 1; // opposite vectors cancel out: leave zeros rather than NaN
  return mean.map((value) => value / norm);
}
