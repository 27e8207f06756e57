import { type ClassEmbeddingOptions, embedClasses } from "./class-embeddings.ts";
import { ZeroShotClassifier } from "./label-probabilities.ts";
import { checkLabels, checkTemplates } from "./prompts.ts";
import { defaultTemplates } from "./templates.data.ts";
import type { TextEmbedder } from "./types.ts";

export { ZeroShotClassifier } from "./label-probabilities.ts";

/**
 * Builds a classifier from class names alone, as CLIP and Florence do.
 *
 * @throws UserError (bad-argument) for labels or templates that cannot be used
 */
export async function zeroShotClassifier(
  model: TextEmbedder,
  labels: readonly string[],
  templates: readonly string[] = defaultTemplates,
  options: ClassEmbeddingOptions = {},
): Promise<ZeroShotClassifier> {
  const checked = checkLabels(labels);
  const classes = await embedClasses(model, checked, checkTemplates(templates), options);
  return new ZeroShotClassifier(checked, classes, model.logitScale, model.scoring);
}
