import { z } from "zod";

const count = z.int().positive();

/** The file beside the ONNX files that says how to feed them; also in each file's metadata. */
export const exportedModelFile = "preprocessing.json";

const writtenTokenizers = [
  z.strictObject({ kind: z.literal("wordpiece"), vocabulary: z.literal("vocab.txt"), contextLength: count }),
  z.strictObject({
    kind: z.literal("clip-bpe"),
    merges: z.literal("merges.txt"),
    mergeCount: z.int().nonnegative(),
    contextLength: count,
  }),
] as const;

/** SigLIP's own files as they came, the first of which cuts texts. */
const siglipTokenizer = z.strictObject({
  kind: z.literal("siglip"),
  files: z.array(z.enum(["spiece.model", "tokenizer.json", "tokenizer_config.json"])).min(1),
  contextLength: count,
});

/**
 * What an exported folder holds. Pictures: resized (and cropped) as said here to `size`×`size`, then given as bytes; the
 * graph normalises them. Texts: ids of the tokenizer, filled up with `padId` to the longest or to the whole context.
 */
export const exportedModelSchema = schemaOf(z.discriminatedUnion("kind", [...writtenTokenizers]));

export type ExportedModel = z.infer<typeof exportedModelSchema>;

/** As {@link exportedModelSchema}, and with tokenizers that `florence/web` does not read. */
export const anyExportedModelSchema = schemaOf(z.discriminatedUnion("kind", [...writtenTokenizers, siglipTokenizer]));

export type AnyExportedModel = z.infer<typeof anyExportedModelSchema>;

function schemaOf<Tokenizer extends z.ZodType>(tokenizer: Tokenizer) {
  return z.strictObject({
    format: z.literal("florence-export/1"),
    name: z.string(),
    fingerprint: z.string(), // of the checkpoint it was made from
    precision: z.enum(["float32", "int8"]), // int8: the linear layers' weights, and what goes into them
    licence: z.string().optional(),
    embedding: count, // numbers of an embedding
    logitScale: z.number().positive(), // multiplies cosines, which gives scores
    scoring: z // how scores become probabilities; softmax if left out
      .discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("softmax") }),
        z.strictObject({ kind: z.literal("sigmoid"), bias: z.number() }),
      ])
      .optional(),
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
        tokenizer,
      })
      .optional(),
  });
}
