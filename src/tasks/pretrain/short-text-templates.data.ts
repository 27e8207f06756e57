/** Carriers for descriptions of one or two words; `{}` takes the description. */
export const shortTextTemplates: readonly string[] = ["a photo of a {}.", "a picture of the {}.", "a drawing of a {}."];

/** Descriptions of at most this many words count as short. */
export const shortTextWords = 2;
