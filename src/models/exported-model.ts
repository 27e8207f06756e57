import { z } from "zod";

const count = z.int().positive();

/** The file beside the ONNX files that says how to feed them; also in each file's metadata. */
export const exportedModelFile = "preprocessing.json";

/**
 * What an exported folder holds. Pictures: resized (and cropped) as said here to `size`×`size`, then given as bytes; the
 * graph normalises them. Texts: ids of the tokenizer, filled up to the longest with `padId`.
 */
export const exportedModelSchema = z.strictObject({
  format: z.literal("florence-export/1"),
  name: z.string(),
  fingerprint: z.string(), // of the checkpoint it was made from
  precision: z.enum(["float32", "int8"]), // int8: the linear layers' weights, and what goes into them
  licence: z.string().optional(),
  embedding: count, // numbers of an embedding
  logitScale: z.number().positive(), // multiplies cosines before a softmax
  image: z
    .strictObject({
      file: z.literal("image.onnx"),
      size: count,
      resize: z.enum(["shorter-side", "squash"]),
      resizeTo: count.optional(),
      filter: z.enum(["bicubic", "bilinear"]),
      cropStart: z.enum(["rounded", "floored"]).optional(),
    })
    .optional(),
  text: z
    .strictObject({
      file: z.literal("text.onnx"),
      length: z.enum(["dynamic", "context"]), // tokens a text: any up to the context, or always the whole context
      padId: z.int().nonnegative(),
      tokenizer: z.discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("wordpiece"), vocabulary: z.literal("vocab.txt"), contextLength: count }),
        z.strictObject({
          kind: z.literal("clip-bpe"),
          merges: z.literal("merges.txt"),
          mergeCount: z.int().nonnegative(),
          contextLength: count,
        }),
      ]),
    })
    .optional(),
});

export type ExportedModel = z.infer<typeof exportedModelSchema>;
