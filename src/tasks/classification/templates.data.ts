/**
 * The prompts each label is put into; `{}` stands for the label. Seven framings that differ in what photographs
 * differ in (size, quality, medium), after the seven that forward selection left of CLIP's eighty.
 */
export const defaultTemplates: readonly string[] = [
  "a photo of a {}.",
  "a close-up photo of a {}.",
  "a photo of the small {}.",
  "a photo of the large {}.",
  "a bad photo of the {}.",
  "a drawing of a {}.",
  "art of the {}.",
];

/** The label as it stands, for models trained on bare names. */
export const bareTemplates: readonly string[] = ["{}"];
