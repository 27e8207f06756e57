import type { FailedFile } from "../../io/file-walk.ts";
import { walkImageFiles } from "../../io/file-walk.ts";
import { type EmbedOptions, embedImageFiles, type ImageEmbedder } from "../../search/embed-images.ts";
import type { Prediction } from "./types.ts";
import type { ZeroShotClassifier } from "./zero-shot-classifier.ts";

/** One picture's answer. */
export interface ClassifiedFile {
  readonly path: string;
  readonly predictions: readonly Prediction[];
}

export interface ClassifyOptions extends EmbedOptions {
  /** How many predictions a picture. */
  readonly top?: number;
}

/**
 * Classifies the pictures of files and folders, streaming results in input order with constant memory. A file that
 * fails is a failure in its place; the rest goes on.
 */
export async function* classify(
  paths: Iterable<string>,
  model: ImageEmbedder,
  classifier: ZeroShotClassifier,
  { top, ...options }: ClassifyOptions = {},
): AsyncGenerator<ClassifiedFile | FailedFile> {
  for await (const result of embedImageFiles(walkImageFiles(paths, options), model, options)) {
    if ("error" in result) yield result;
    else yield { path: result.file.path, predictions: classifier.classify(result.embedding, top) };
  }
}
