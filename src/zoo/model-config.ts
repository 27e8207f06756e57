import { z } from "zod";
import { twoTowerConfigSchema } from "../models/config-schemas.ts";

const tokenizerConfigSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("wordpiece"),
    vocabulary: z.literal("vocab.txt"),
    contextLength: z.int().positive(),
  }),
  z.strictObject({
    kind: z.literal("clip-bpe"),
    merges: z.literal("merges.txt"),
    mergeCount: z.int().nonnegative(),
    contextLength: z.int().positive(),
  }),
  /** SigLIP's own files, whichever of them it comes with. */
  z.strictObject({ kind: z.literal("siglip"), contextLength: z.int().positive() }),
]);

export type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

/** `config.json` of a checkpoint folder: what to build and how to feed it. */
export const modelConfigSchema = z.strictObject({
  format: z.literal("florence-model/1"),
  name: z.string(),
  architecture: twoTowerConfigSchema,
  tokenizer: tokenizerConfigSchema,
  preprocessing: z
    .strictObject({
      size: z.int().positive(),
      resize: z.enum(["shorter-side", "squash"]),
      resizeTo: z.int().positive().optional(),
      filter: z.enum(["bicubic", "bilinear"]),
      cropStart: z.enum(["rounded", "floored"]).optional(),
    })
    .refine(({ size, resizeTo = size }) => resizeTo >= size, "resizeTo must be at least size"),
});

export type ModelConfig = z.infer<typeof modelConfigSchema>;
