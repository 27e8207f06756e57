import { ZeroShotClassifier } from "../tasks/classification/label-probabilities.ts";
import { checkLabels, checkTemplates } from "../tasks/classification/prompts.ts";
import { defaultTemplates } from "../tasks/classification/templates.data.ts";
import { averageTextEmbeddings } from "../tasks/classification/text-averages.ts";
import type { Prediction } from "../tasks/classification/types.ts";
import type { CallOptions } from "./aborting.ts";
import type { ImageSource } from "./image-decoding.ts";
import type { WebModel } from "./load-model.ts";
import { SharedLoad } from "./shared-load.ts";

export interface ClassifyOptions extends CallOptions {
  /** Prompts that each label is put into at `{}`. */
  readonly templates?: readonly string[];
  /** How many predictions a picture. */
  readonly top?: number;
}

type Classes = SharedLoad<Float32Array>; // [labels × embedDim]

const listsKept = 8; // of labels and templates, for each model
const classesOf = new WeakMap<WebModel, Map<string, Classes>>(); // the list used last at the end

/**
 * Tells which of the labels each picture shows; the most probable first, pictures in order. Nothing is trained. The
 * embeddings of the last eight lists of labels and templates are kept with the model.
 *
 * @throws UserError `bad-argument` for labels or templates that cannot be used; the signal's reason after an abort
 */
export async function classify(
  model: WebModel,
  images: readonly ImageSource[],
  labels: readonly string[],
  { templates = defaultTemplates, top, signal }: ClassifyOptions = {},
): Promise<Prediction[][]> {
  const checked = checkLabels(labels);
  const classes = await keptClasses(model, checked, checkTemplates(templates)).get({ signal });
  const classifier = new ZeroShotClassifier(checked, classes, model.logitScale);
  return (await model.embedImages(images, { signal })).map((embedding) => classifier.classify(embedding, top));
}

function keptClasses(model: WebModel, labels: readonly string[], templates: readonly string[]): Classes {
  const kept = classesOf.get(model) ?? new Map<string, Classes>();
  classesOf.set(model, kept);
  const key = JSON.stringify([templates, labels]);
  const classes = kept.get(key) ?? new SharedLoad((options) => embedClasses(model, labels, templates, options));
  kept.delete(key);
  kept.set(key, classes);
  if (kept.size > listsKept) kept.delete([...kept.keys()][0] as string);
  return classes;
}

function embedClasses(
  model: WebModel,
  labels: readonly string[],
  templates: readonly string[],
  options: CallOptions,
): Promise<Float32Array> {
  const { fingerprint, embedDim, logitScale } = model;
  const embedTexts = (texts: readonly string[]) => model.embedTexts(texts, options);
  return averageTextEmbeddings({ fingerprint, embedDim, logitScale, embedTexts }, labels, templates);
}
