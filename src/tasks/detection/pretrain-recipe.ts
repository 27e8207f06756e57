import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import {
  type DetectionRecipe,
  detectionAugmentations,
  detectionOptimizers,
  detectionRecipe,
} from "./detection-recipe.ts";

const count = z.int().positive();
const share = z.number().min(0).max(1);
const range = z.tuple([z.number().positive(), z.number().positive()]);
const split = z.enum(["train", "val", "test"]);

const colourSchema = z.strictObject({ brightness: share, contrast: share, saturation: share });
const augmentationSchema = z.strictObject({
  flip: share.optional(),
  crop: share.optional(),
  scale: range.optional(),
  mosaic: share.optional(),
  colour: colourSchema.optional(),
});

/** The recipe file of a detector: `kind` tells it from an image–text model's. */
export const detectorRecipeSchema = z.strictObject({
  kind: z.literal("detector"),
  name: z.string().min(1),
  seed: z.int(),
  /** A bundled model's name, or a checkpoint folder relative to the recipe, whose image encoder is the backbone. */
  encoder: z.string().min(1),
  /** "object": one class, whatever it is called. "names": every class by the embedding of its name. */
  classes: z.enum(["object", "names"]),
  templates: z.array(z.string().includes("{}")).min(1).default(["{}"]), // of the names
  strides: z.array(count).min(1),
  width: count,
  blocks: count,
  groups: count,
  window: count.optional(), // tokens of an attention window; the encoder's own at its own image size if left out
  side: count, // pixels that pictures are fitted into
  batch: count,
  steps: count,
  warmupSteps: z.int().nonnegative(),
  learningRate: z.number().positive(),
  finalLearningRate: z.number().nonnegative().default(0),
  encoderRateScale: z.number().positive().default(0.1),
  optimizer: z.enum(detectionOptimizers).default("adamw"), // of the matrices and kernels of hidden layers
  matrixRateScale: z.number().positive().default(20), // Muon: rate of those over that of the rest
  weightDecay: z.number().nonnegative(),
  clipNorm: z.number().positive(),
  averageDecay: z.number().gt(0).lt(1).optional(),
  freeze: z.enum(["none", "encoder"]).default("encoder"),
  augmentation: z.union([
    z.enum(Object.keys(detectionAugmentations) as [keyof typeof detectionAugmentations]),
    augmentationSchema,
  ]),
  mosaicShare: share.default(0.8),
  /** Sets by the name of their folder; `weight` is the share of the draws against the others'; `licence` for the card, where the set does not state it. */
  sources: z
    .array(
      z.strictObject({
        name: z.string(),
        split: split.default("train"),
        weight: z.number().positive(),
        licence: z.string().optional(),
      }),
    )
    .min(1),
  /** Sets that are scored at the end, never trained on. */
  validation: z.array(z.strictObject({ name: z.string(), split: split.default("val") })).default([]),
});

export type DetectorPretrainRecipe = z.infer<typeof detectorRecipeSchema>;

/** Whether a recipe file, as read from JSON, is a detector's. */
export function isDetectorRecipe(value: unknown): boolean {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "detector";
}

/** Validates a recipe as read from JSON; `source` names it in errors. @throws UserError bad-argument */
export function parseDetectorRecipe(value: unknown, source: string): DetectorPretrainRecipe {
  const result = detectorRecipeSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const where = issue?.path.join(".") || "top level";
    throw new UserError("bad-argument", `${source}: ${where} is not right: ${issue?.message}. Correct the recipe.`);
  }
  const { sources, validation } = result.data;
  const keyOf = (set: { name: string; split: string }): string => `${set.name}/${set.split}`;
  const trained = new Set(sources.map(keyOf));
  const both = validation.find((set) => trained.has(keyOf(set)));
  if (both) {
    const rule = "a set must not be trained on and scored";
    throw new UserError("bad-argument", `${source}: ${rule}, got ${keyOf(both)} in both. Correct the recipe.`);
  }
  return result.data;
}

/** The training core's recipe. */
export function trainingRecipeOf(recipe: DetectorPretrainRecipe): DetectionRecipe {
  const { seed, side, batch, steps, warmupSteps, learningRate, finalLearningRate, encoderRateScale } = recipe;
  const { weightDecay, clipNorm, averageDecay, freeze, augmentation, mosaicShare, optimizer, matrixRateScale } = recipe;
  return detectionRecipe({
    ...{ seed, side, batch, steps, warmupSteps, learningRate, finalLearningRate, encoderRateScale },
    ...{ weightDecay, clipNorm, averageDecay, freeze, augmentation, mosaicShare, optimizer, matrixRateScale },
  });
}
