import { ZeroShotClassifier } from "../tasks/classification/label-probabilities.ts";
import { checkLabels, checkTemplates } from "../tasks/classification/prompts.ts";
import { defaultTemplates } from "../tasks/classification/templates.data.ts";
import { averageTextEmbeddings } from "../tasks/classification/text-averages.ts";
import type { Prediction } from "../tasks/classification/types.ts";
import type { ImageSource } from "./image-decoding.ts";
import type { WebModel } from "./load-model.ts";

export interface ClassifyOptions {
  /** Prompts that each label is put into at `{}`. */
  readonly templates?: readonly string[];
  /** How many predictions a picture. */
  readonly top?: number;
  readonly signal?: AbortSignal;
}

/**
 * Tells which of the labels each picture shows; the most probable first, pictures in order. Nothing is trained.
 *
 * @throws UserError `bad-argument` for labels or templates that cannot be used
 */
export async function classify(
  model: WebModel,
  images: readonly ImageSource[],
  labels: readonly string[],
  { templates = defaultTemplates, top, signal }: ClassifyOptions = {},
): Promise<Prediction[][]> {
  const checked = checkLabels(labels);
  const classes = await averageTextEmbeddings(model, checked, checkTemplates(templates), signal ? { signal } : {});
  const classifier = new ZeroShotClassifier(checked, classes, model.logitScale);
  return (await model.embedImages(images)).map((embedding) => classifier.classify(embedding, top));
}
