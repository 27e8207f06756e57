import { z } from "zod";

/** The version written into every shard manifest. */
export const SHARD_FORMAT = "florence-shards/1";

const countSchema = z.int().nonnegative();

/** `manifest.json` of a shard folder: what the pictures are, where they come from, and how they were made. */
export const shardManifestSchema = z.object({
  format: z.literal(SHARD_FORMAT),
  name: z.string(),
  source: z.string(),
  licence: z.string(),
  height: z.int().positive(), // pixels
  width: z.int().positive(), // pixels
  channels: z.literal(3),
  count: countSchema, // images
  imagesSha256: z.string().regex(/^[0-9a-f]{64}$/),
  recipe: z.string(),
  removed: z.record(z.string(), countSchema), // reason → rows left out
  createdBy: z.string(),
  role: z.enum(["training", "evaluation"]).optional(), // older ones say it in `recipe` alone
});
export type ShardManifest = z.infer<typeof shardManifestSchema>;

/** Whether a set is to train on or to evaluate with; undefined if its manifest does not tell. */
export function roleOf({ role, recipe }: Pick<ShardManifest, "role" | "recipe">): ShardManifest["role"] {
  if (role !== undefined) return role;
  return /^[^,]+, (training|evaluation), /.exec(recipe)?.[1] as ShardManifest["role"]; // as older versions wrote it
}

/** One line of `rows.jsonl`; one of `texts` is drawn, by `weights` if given, each time its image is seen. */
export const shardRowSchema = z
  .object({
    key: z.string(),
    texts: z.array(z.string()),
    weights: z.array(z.number().nonnegative()).optional(),
    label: z.string().optional(),
  })
  .refine((row) => !row.weights || row.weights.length === row.texts.length, "weights must be as many as texts")
  .refine(
    (row) => !row.weights || row.texts.length === 0 || row.weights.some((weight) => weight > 0),
    "all weights are 0",
  );
export type ShardRow = z.infer<typeof shardRowSchema>;
