import { z } from "zod";
import type { CoSwinConfig } from "./image-encoder/coswin.ts";
import type { SiglipVisionConfig } from "./image-encoder/siglip-vit.ts";
import type { VisionTransformerConfig } from "./image-encoder/vit.ts";
import type { ClipTransformerConfig } from "./text-encoder/clip-transformer.ts";
import type { SentenceEncoderConfig } from "./text-encoder/sentence-encoder.ts";
import type { SiglipTransformerConfig } from "./text-encoder/siglip-transformer.ts";

const count = z.int().positive();
const activation = z.enum(["gelu", "gelu-tanh", "quick-gelu", "squared-relu", "relu"]);
const rgb = z.tuple([z.number(), z.number(), z.number()]);

export const coSwinConfigSchema = z.strictObject({
  kind: z.literal("coswin"),
  imageSize: count,
  width: count,
  depths: z.array(count).min(1),
  convolutionStages: z.int().nonnegative().optional(),
  headWidth: count,
  window: count,
  mlpRatio: z.number().positive(),
  activation,
  embedding: z.enum(["convolution", "patch"]),
  stemKernel: count,
  stemStride: count,
  dropPath: z.number().min(0).lt(1),
  mean: rgb,
  std: rgb,
}) satisfies z.ZodType<CoSwinConfig>;

export const visionTransformerConfigSchema = z.strictObject({
  kind: z.literal("vit"),
  imageSize: count,
  patch: count,
  width: count,
  heads: count,
  layers: count,
  mlpRatio: z.number().positive(),
  activation,
  mean: rgb,
  std: rgb,
}) satisfies z.ZodType<VisionTransformerConfig>;

export const siglipVisionConfigSchema = z.strictObject({
  kind: z.literal("siglip-vit"),
  imageSize: count,
  patch: count,
  width: count,
  heads: count,
  layers: count,
  hidden: count,
  activation,
  mean: rgb,
  std: rgb,
}) satisfies z.ZodType<SiglipVisionConfig>;

export const clipTransformerConfigSchema = z.strictObject({
  kind: z.literal("clip-transformer"),
  vocabulary: count,
  contextLength: count,
  width: count,
  heads: count,
  layers: count,
  activation,
  epsilon: z.number().positive().optional(),
}) satisfies z.ZodType<ClipTransformerConfig>;

export const sentenceEncoderConfigSchema = z.strictObject({
  kind: z.literal("sentence-encoder"),
  vocabulary: count,
  contextLength: count,
  width: count,
  heads: count,
  layers: count,
  hidden: count,
}) satisfies z.ZodType<SentenceEncoderConfig>;

export const siglipTransformerConfigSchema = z.strictObject({
  kind: z.literal("siglip-transformer"),
  vocabulary: count,
  contextLength: count,
  width: count,
  heads: count,
  layers: count,
  hidden: count,
  outputs: count,
  activation,
}) satisfies z.ZodType<SiglipTransformerConfig>;

export const imageEncoderConfigSchema = z.discriminatedUnion("kind", [
  coSwinConfigSchema,
  visionTransformerConfigSchema,
  siglipVisionConfigSchema,
]);
export const textEncoderConfigSchema = z.discriminatedUnion("kind", [
  clipTransformerConfigSchema,
  sentenceEncoderConfigSchema,
  siglipTransformerConfigSchema,
]);

export const twoTowerConfigSchema = z.strictObject({
  image: imageEncoderConfigSchema,
  text: textEncoderConfigSchema,
  embedding: count,
  projection: z.enum(["linear", "none"]).optional(),
  scoring: z.enum(["softmax", "sigmoid"]).optional(),
});
