import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { CLIP_MERGE_COUNT } from "../../data/tokenizers/clip-bpe.ts";
import { clipTransformerConfigSchema, coSwinConfigSchema } from "../../models/config-schemas.ts";

const range = z
  .tuple([z.number().positive(), z.number().positive()])
  .refine(([low, high]) => low <= high, "must go from low to high");
const shareRange = range.refine(([, high]) => high <= 1, "must be shares of the picture, in (0, 1]");

const augmentSchema = z.strictObject({
  crop: z.strictObject({ scale: shareRange, aspect: range.optional() }).optional(),
  flip: z.number().min(0).max(1).optional(),
  shift: z.number().nonnegative().optional(),
  sharpen: z.number().nonnegative().optional(),
  brightness: z.number().min(0).max(1).optional(),
  contrast: z.number().min(0).max(1).optional(),
  saturation: z.number().min(0).max(1).optional(),
  greyscale: z.number().min(0).max(1).optional(),
});

const stageSchema = z.strictObject({
  name: z.string(),
  steps: z.int().positive(),
  imageSize: z.int().positive(),
  templatedTexts: z.boolean(), // whether short descriptions are put into templates
  schedule: z.enum(["constant", "cosine", "linear"]),
  learningRate: z.number().positive(),
  finalLearningRate: z.number().nonnegative().default(0),
  warmupSteps: z.int().nonnegative(),
  /** Images of each set in every batch; they add up to the batch size. */
  perBatch: z.record(z.string(), z.int().positive()),
  /** Share of the images that carry their own name (first text); the rest draw among name, synonyms and hypernyms. */
  ownNameShare: z.number().min(0).max(1).default(0),
  /** Further names that the pictures of every step are told apart from: so many of each set, drawn anew each time. */
  extraTexts: z.record(z.string(), z.int().positive()).optional(),
  augment: augmentSchema.default({}),
});

const textTransformerSchema = clipTransformerConfigSchema
  .omit({ kind: true, vocabulary: true, contextLength: true }) // they follow from the tokenizer
  .extend({
    merges: z.string(), // CLIP's BPE merges, plain or .gz; relative to the recipe
    mergeCount: z.int().nonnegative().default(CLIP_MERGE_COUNT), // fewer give a smaller vocabulary of 514 + merges ids
  });

export const pretrainRecipeSchema = z.strictObject({
  name: z.string(),
  seed: z.int(),
  image: coSwinConfigSchema,
  embedding: z.int().positive(),
  /** A folder with `model.safetensors` and `vocab.txt` of a sentence encoder to start the text tower from; relative to the recipe. */
  textWeights: z.string().optional(),
  /** Or a CLIP-style transformer that starts at random; give this or `textWeights`. */
  textTransformer: textTransformerSchema.optional(),
  freezeText: z.boolean(),
  textTokens: z.int().min(2).max(76), // texts are cut to so many tokens
  chunk: z.int().positive().optional(), // images through the towers at a time: gradient cache if below the batch
  recompute: z.boolean().default(false), // activation checkpointing of each block
  optimizer: z.strictObject({
    kind: z.enum(["adamw", "muon"]),
    matrixRateScale: z.number().positive().default(20), // Muon: rate of hidden matrices over that of the rest
    weightDecay: z.number().nonnegative(),
    beta2: z.number().gt(0).lt(1),
    clipNorm: z.number().positive(),
    averageDecay: z.number().gt(0).lt(1).optional(), // keep an average of the weights and release that
  }),
  maxLogitScale: z.number().positive(), // upper bound of what multiplies the cosine
  stages: z.array(stageSchema).min(1),
});

export type PretrainRecipe = z.infer<typeof pretrainRecipeSchema>;
export type PretrainStage = PretrainRecipe["stages"][number];

/** Validates a recipe as read from JSON; `source` names it in errors. */
export function parsePretrainRecipe(value: unknown, source: string): PretrainRecipe {
  const result = pretrainRecipeSchema.safeParse(value);
  if (result.success) {
    checkText(result.data, source);
    checkChunk(result.data, source);
    checkRates(result.data, source);
    return result.data;
  }
  const issue = result.error.issues[0];
  const where = issue?.path.join(".") || "top level";
  throw new UserError("bad-argument", `${source}: ${where} is not right: ${issue?.message}. Correct the recipe.`);
}

function checkText({ textWeights, textTransformer, freezeText }: PretrainRecipe, source: string): void {
  if ((textWeights === undefined) === (textTransformer === undefined)) {
    const got = textWeights === undefined ? "neither" : "both";
    const rule = `give textWeights or textTransformer, got ${got}`;
    throw new UserError("bad-argument", `${source}: ${rule}. Correct the recipe.`);
  }
  if (textTransformer && freezeText) {
    const rule = "freezeText must be false for a textTransformer, which starts at random";
    throw new UserError("bad-argument", `${source}: ${rule}. Correct the recipe.`);
  }
}

/** Found here, because a later stage would else fail only after the earlier ones have been trained. */
function checkChunk({ chunk, stages }: PretrainRecipe, source: string): void {
  const refuse = (rule: string): never => {
    throw new UserError("bad-argument", `${source}: ${rule}. Correct the recipe.`);
  };
  for (const { name, perBatch, extraTexts = {} } of stages) {
    const batch = totalOf(perBatch);
    if (chunk === undefined || chunk >= batch) continue;
    if (batch % chunk !== 0) refuse(`chunk must divide the batch of ${batch} of stage ${name}, got ${chunk}`);
    const [extra, chunks] = [totalOf(extraTexts), batch / chunk];
    if (extra % chunks !== 0) refuse(`extraTexts of stage ${name} must share out among ${chunks} chunks, got ${extra}`);
  }
}

/** The first step past the warm-up of a stage that decays must be one of its own; a constant one may end with it. */
function checkRates({ stages }: PretrainRecipe, source: string): void {
  for (const { name, steps, schedule, learningRate, finalLearningRate, warmupSteps } of stages) {
    const refuse = (rule: string, value: number): never => {
      throw new UserError("bad-argument", `${source}: ${rule} of stage ${name}, got ${value}. Correct the recipe.`);
    };
    const longest = schedule === "constant" ? steps : steps - 1;
    if (warmupSteps > longest) refuse(`warmupSteps must be at most ${longest} for the ${steps} steps`, warmupSteps);
    if (finalLearningRate > learningRate) {
      refuse(`finalLearningRate must be at most the learningRate ${learningRate}`, finalLearningRate);
    }
  }
}

/** The sum of the counts of a record by set. */
function totalOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
