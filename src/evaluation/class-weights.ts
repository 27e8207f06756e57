import { UserError } from "../core/errors.ts";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { embedClasses } from "../tasks/classification/class-embeddings.ts";
import { checkLabels } from "../tasks/classification/prompts.ts";
import { defaultTemplates } from "../tasks/classification/templates.data.ts";
import type { EvaluationContext } from "./evaluation-task.ts";
import { hashOfTexts } from "./ledger-entry.ts";
import type { ClassPrompts } from "./prompt-choice.ts";

const defaultPrompts: ClassPrompts = { templates: defaultTemplates, title: "default" };

/** The prompts of the options, or the usual ones. */
export function chosenPrompts({ prompts = defaultPrompts }: EvaluationContext["options"]): ClassPrompts {
  return prompts;
}

/** What a protocol says of the prompts: templates, and class names where they are not the set's own. */
export function promptProtocol(options: EvaluationContext["options"]): Record<string, string> {
  const { templates, names } = chosenPrompts(options);
  return {
    templates: `${templates.length} × ${hashOfTexts(templates)}`,
    ...(names && { classNames: hashOfTexts(names.map((group) => group.join("\n"))) }),
  };
}

/**
 * The unit vector of every class of the set. A class of several names gets the mean of theirs.
 *
 * @returns [classes, embedDim]
 */
export async function classWeights(context: EvaluationContext): Promise<Float32Array> {
  const { model, set, options, cacheFolder, signal, onProgress, onWarning } = context;
  const { templates, names = set.classes.map((name) => [name]) } = chosenPrompts(options);
  const labels = [...new Set(names.flat())];
  const vectors = await embedClasses(model, labels, templates, {
    cacheFolder,
    signal,
    onProgress: (done) => onProgress?.("classes", done, labels.length, "classes"),
    onWarning,
  });
  const dim = model.embedDim;
  const weights = new Float32Array(names.length * dim);
  const rowOf = new Map(labels.map((label, row) => [label, row]));
  for (const [c, group] of names.entries()) {
    const mean = weights.subarray(c * dim, (c + 1) * dim);
    for (const name of group) {
      const row = (rowOf.get(name) as number) * dim;
      for (let i = 0; i < dim; i++) mean[i] += vectors[row + i];
    }
    const norm = Math.hypot(...mean) || 1;
    for (let i = 0; i < dim; i++) mean[i] /= norm;
  }
  return weights;
}

/**
 * The images that have a label: what a classification can be scored on.
 *
 * @throws UserError if the set has fewer than two classes, or none of the images has a label
 */
export function labelledImages(
  { set, onWarning }: Pick<EvaluationContext, "set" | "onWarning">,
  images: readonly LabelledImage[],
): readonly LabelledImage[] {
  if (set.classes.length === 0) {
    const remedy = "Use `retrieval` for captions.";
    throw new UserError("unsupported", `${set.name}: must have classes to be classified, got none. ${remedy}`);
  }
  checkLabels(set.classes);
  if (set.isMultiLabel) return images; // an image that shows none of the classes is a negative of each
  const labelled = images.filter(({ labels }) => labels.length > 0);
  if (labelled.length === 0) {
    throw new UserError("empty", `${set.name}: must have images with labels in this split, got none. Choose another.`);
  }
  if (labelled.length < images.length) {
    onWarning?.(`${set.name}: ${images.length - labelled.length} images without a label are left out.`);
  }
  return labelled;
}
