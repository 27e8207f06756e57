import { z } from "zod";
import { detectorConfigSchema } from "../models/detection/detector-schema.ts";

const classesSchema = z.discriminatedUnion("kind", [
  /** The classes it was trained for, in the order of its outputs; `["object"]` if it tells objects from background alone. */
  z.strictObject({ kind: z.literal("fixed"), names: z.array(z.string().min(1)).min(1) }),
  /** Any, by the embeddings of their names: those of the two-tower model that it was trained with, and of no other. */
  z.strictObject({
    kind: z.literal("text"),
    embedder: z.strictObject({ name: z.string(), fingerprint: z.string() }),
    templates: z.array(z.string().includes("{}")).min(1), // what names were put into
  }),
]);

/** `config.json` of a detector's folder: what to build, what its classes are, how to feed it. */
export const detectorFileSchema = z
  .strictObject({
    format: z.literal("florence-detector/1"),
    name: z.string(),
    architecture: detectorConfigSchema,
    classes: classesSchema,
    preprocessing: z.strictObject({
      /** Longer side of the picture, pixels. */
      side: z.int().positive(),
      /** What the bars of grey fill: a square of `side`, or the shorter side up to a multiple of the coarsest stride. */
      padding: z.enum(["square", "stride"]),
    }),
    /** The model whose image encoder it was made on. */
    backbone: z.strictObject({ name: z.string(), fingerprint: z.string(), frozen: z.boolean() }).optional(),
  })
  .refine(({ architecture, classes }) => architecture.classes.kind === classes.kind, {
    path: ["classes", "kind"],
    error: "must be that of architecture.classes",
  })
  .refine(
    ({ architecture, classes }) =>
      classes.kind !== "fixed" ||
      architecture.classes.kind !== "fixed" ||
      classes.names.length === architecture.classes.count,
    { path: ["classes", "names"], error: "must be as many as architecture.classes.count" },
  )
  .refine(({ classes }) => classes.kind !== "fixed" || new Set(classes.names).size === classes.names.length, {
    path: ["classes", "names"],
    error: "must differ from each other",
  });

export type DetectorFile = z.infer<typeof detectorFileSchema>;

/** What a detector's outputs stand for, by its folder. */
export type NamedClasses = DetectorFile["classes"];
