import { z } from "zod";
import { UserError } from "../../core/errors.ts";

const loraSchema = z.strictObject({
  rank: z.int().positive().default(8),
  alpha: z.number().positive().default(16),
  tower: z.enum(["image", "text", "both"]).default("image"),
  /** Which linear layers of it: a regular expression on their names, such as `attn\\.(qkv|proj)$`. */
  layers: z.string().default("\\.(attn\\.(qkv|proj)|mlp\\.fc[12]|fc[12]|pooling\\.\\w+)$"),
});

/** What the weights of a classifier head can start from. */
export const headStarts = ["zero-shot", "random", "probe"] as const;

/** What updates the matrices of hidden layers in the towers; all else is AdamW's. */
export const tuningOptimizers = ["adamw", "muon"] as const;

/** How a model is tuned. Everything that decides a step is in here, beside the model and the data. */
export const fineTuneRecipeSchema = z.strictObject({
  method: z.enum(["contrastive", "head", "lora"]),
  seed: z.int().default(0),
  epochs: z.number().positive().default(10),
  steps: z.int().positive().optional(), // instead of epochs
  batch: z.int().min(2).default(128),
  learningRate: z.number().positive(),
  finalLearningRate: z.number().nonnegative().default(0),
  warmupSteps: z.int().nonnegative().optional(), // a tenth of the steps, at most 500, if left out
  optimizer: z.enum(tuningOptimizers).default("adamw"),
  matrixRateScale: z.number().positive().default(10), // Muon: rate of those matrices over that of the rest
  weightDecay: z.number().nonnegative().default(0.05),
  beta2: z.number().gt(0).lt(1).default(0.999),
  clipNorm: z.number().positive().default(1),
  /** The rate falls by this factor from each block to the one before it; 1 gives all the same. */
  layerDecay: z.number().gt(0).max(1).default(1),
  averageDecay: z.number().gt(0).lt(1).optional(), // keep an average of the weights and hand that on
  imageSize: z.int().positive().optional(), // the model's own if left out
  augment: z.enum(["none", "light", "medium", "strong"]).default("light"),
  flip: z.boolean().default(true),
  mixup: z.number().min(0).max(1).default(0), // with a head alone
  cutmix: z.number().min(0).max(1).default(0),
  labelSmoothing: z.number().min(0).lt(1).default(0.1), // with a head alone
  dropPath: z.number().min(0).lt(1).optional(), // the model's own if left out
  tuneImage: z.boolean().default(true),
  tuneText: z.boolean().default(false),
  /** Class names, on embeddings; or, on the features before the projection, chance or a linear probe. */
  headStart: z.enum(headStarts).default("zero-shot"),
  /** Rate of the head over that of the tower. */
  headRateScale: z.number().positive().default(10),
  templates: z.array(z.string()).min(1),
  lora: loraSchema.prefault({}),
  /** Weight of the distance of embeddings from the original model's: less is forgotten, and less learnt. */
  anchor: z.number().nonnegative().default(0),
  maxLogitScale: z.number().positive().default(100),
  chunk: z.int().positive().optional(), // images through the towers at a time: gradient cache if below the batch
  recompute: z.boolean().default(false),
});

export type FineTuneRecipe = z.infer<typeof fineTuneRecipeSchema>;

/** Rates that suit each method where none is given: small ones for what was trained, large ones for what starts anew. */
export const defaultLearningRates = { contrastive: 2e-4, head: 2e-4, lora: 1e-3 } as const;

/**
 * Fills in a recipe's defaults and checks what one field demands of another.
 *
 * @throws UserError (bad-argument) naming the field
 */
export function fineTuneRecipe(
  given: Omit<z.input<typeof fineTuneRecipeSchema>, "learningRate"> & { learningRate?: number },
): FineTuneRecipe {
  const result = fineTuneRecipeSchema.safeParse({
    ...given,
    learningRate: given.learningRate ?? defaultLearningRates[given.method],
  });
  if (!result.success) {
    const issue = result.error.issues[0];
    throw refusal(`${issue?.path.join(".") || "the recipe"} is not right: ${issue?.message}`);
  }
  const recipe = result.data;
  const { method, tuneImage, tuneText, mixup, cutmix } = recipe;
  if (method === "head" && tuneText) throw refusal("tuneText must be false for a head, which has no texts");
  if (method === "contrastive" && !tuneImage && !tuneText) {
    throw refusal("tuneImage or tuneText must be true for contrastive tuning, got neither");
  }
  if (method === "lora" && recipe.optimizer === "muon") {
    throw refusal("optimizer must be adamw for lora: adapters are no hidden layers, which muon is for");
  }
  if (method !== "head" && (mixup > 0 || cutmix > 0)) throw refusal("mixup and cutmix need the method head");
  if (method === "head" && recipe.anchor > 0) throw refusal("anchor needs the method contrastive or lora");
  if (recipe.chunk !== undefined && recipe.batch % recipe.chunk !== 0) {
    throw refusal(`chunk must divide the batch of ${recipe.batch}, got ${recipe.chunk}`);
  }
  return recipe;
}

const refusal = (rule: string): UserError => new UserError("bad-argument", `Tuning: ${rule}.`);
