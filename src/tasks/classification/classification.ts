import type { FailedFile } from "../../io/file-walk.ts";
import { walkImageFiles } from "../../io/file-walk.ts";
import { type EmbedOptions, embedImageFiles, type ImageEmbedder } from "../../search/embed-images.ts";
import { rankLabels } from "./label-probabilities.ts";
import type { LogitJudge, Prediction } from "./types.ts";
import type { ZeroShotClassifier } from "./zero-shot-classifier.ts";

/** One picture's answer. */
export interface ClassifiedFile {
  readonly path: string;
  readonly predictions: readonly Prediction[];
  /** With a calibration that rejects: how well any of the labels fits. Only comparable to its threshold. */
  readonly acceptanceScore?: number;
  /** True where none of the labels fits; absent otherwise. */
  readonly rejected?: true;
}

export interface ClassifyOptions extends EmbedOptions {
  /** How many predictions a picture. */
  readonly top?: number;
  /** A calibration; the classifier's own probabilities without it. */
  readonly judge?: LogitJudge;
}

/**
 * Classifies the pictures of files and folders, streaming results in input order with constant memory. A file that
 * fails is a failure in its place; the rest goes on.
 */
export async function* classify(
  paths: Iterable<string>,
  model: ImageEmbedder,
  classifier: ZeroShotClassifier,
  { top, judge, ...options }: ClassifyOptions = {},
): AsyncGenerator<ClassifiedFile | FailedFile> {
  for await (const result of embedImageFiles(walkImageFiles(paths, options), model, options)) {
    if ("error" in result) yield result;
    else yield { path: result.file.path, ...answer(classifier, result.embedding, top, judge) };
  }
}

function answer(
  classifier: ZeroShotClassifier,
  embedding: Float32Array,
  top: number | undefined,
  judge: LogitJudge | undefined,
): Omit<ClassifiedFile, "path"> {
  if (!judge) return { predictions: classifier.classify(embedding, top) };
  const { probabilities, rejection } = judge(classifier.logits(embedding), embedding);
  const labels = classifier.labels.slice(0, probabilities.length);
  return {
    predictions: rankLabels(labels, probabilities, top ?? labels.length),
    ...(rejection ? { acceptanceScore: rejection.score } : {}),
    ...(rejection?.rejected ? { rejected: true as const } : {}),
  };
}
