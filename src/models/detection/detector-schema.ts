import { z } from "zod";
import { coSwinConfigSchema } from "../config-schemas.ts";
import type { DetectorConfig } from "./detector.ts";

const count = z.int().positive();

/** A detector's architecture as its checkpoint states it. */
export const detectorConfigSchema = z
  .strictObject({
    image: coSwinConfigSchema,
    strides: z.array(count).min(1),
    width: count,
    blocks: count,
    groups: count,
    classes: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("fixed"), count }),
      z.strictObject({ kind: z.literal("text"), embedding: count }),
    ]),
  })
  .refine(({ width, groups }) => width % groups === 0, { path: ["groups"], error: "must divide width" })
  .refine(({ strides }) => strides.every((stride, i) => i === 0 || stride === 2 * strides[i - 1]), {
    path: ["strides"],
    error: "must each be twice the last",
  }) satisfies z.ZodType<DetectorConfig>;
