import { z } from "zod";

const count = z.int().positive();

/**
 * What a folder with an exported detector holds, in `preprocessing.json` and in the file's metadata. Pictures: fitted
 * into the canvas in their own proportions, centred, grey beside them, and given as bytes; the graph normalises them.
 */
export const exportedDetectorSchema = z.strictObject({
  format: z.literal("florence-detector-export/1"),
  name: z.string(),
  fingerprint: z.string(), // of the detector's folder it was made from
  precision: z.enum(["float32", "int8"]),
  licence: z.string().optional(),
  file: z.literal("detector.onnx"),
  canvas: z.strictObject({
    width: count, // pixels, fixed in the file
    height: count,
    filter: z.literal("bilinear"),
    grey: z.int().min(0).max(255),
    align: z.literal("centre"),
  }),
  classes: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("fixed"), names: z.array(z.string()).min(1) }),
    z.strictObject({
      kind: z.literal("text"),
      embedding: count, // numbers of a class embedding
      embedder: z.strictObject({ name: z.string(), fingerprint: z.string() }),
      templates: z.array(z.string()).min(1),
    }),
  ]),
});

export type ExportedDetector = z.infer<typeof exportedDetectorSchema>;
