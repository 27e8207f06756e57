import { fillTemplate } from "./prompts.ts";
import type { TextEmbedder } from "./types.ts";

export interface TextAverageOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (labelsDone: number) => void;
}

const textsPerRun = 256;

/**
 * One unit vector a label: every template filled and embedded, each L2-normalised, averaged, normalised again
 * (Radford et al., arXiv:2103.00020 §3.1.4).
 *
 * @returns [labels × embedDim]
 */
export async function averageTextEmbeddings(
  embedder: TextEmbedder,
  labels: readonly string[],
  templates: readonly string[],
  { signal, onProgress }: TextAverageOptions = {},
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
