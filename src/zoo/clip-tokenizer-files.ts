import { z } from "zod";
import { UserError } from "../core/errors.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { readUtf8 } from "../io/text-files.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { createTokenizer } from "./tokenizer-files.ts";

/** Ids of a CLIP vocabulary that are no merges: 256 bytes, 256 word-final bytes, start and end. */
const fixedIds = 514;

/** Files that a CLIP tokenizer may be read from, the preferred first. */
const clipTokenizerFiles: readonly string[] = ["merges.txt", "tokenizer.json"];

/**
 * CLIP's tokenizer from a foreign folder: `merges.txt`, or the merges inside `tokenizer.json`.
 *
 * @param sizes  `vocabulary`: rows of the model's token table; `contextLength`: tokens it takes
 * @throws UserError `not-found` if neither file is there, `mismatch` if the vocabulary has another length
 */
export async function readClipTokenizer(
  folder: CheckpointFolder,
  { vocabulary, contextLength }: { vocabulary: number; contextLength: number },
): Promise<Tokenizer> {
  const mergeCount = vocabulary - fixedIds;
  const file = requireClipTokenizer(folder);
  if (mergeCount < 0) {
    throw new UserError(
      "mismatch",
      `${folder.path}: the vocabulary must have at least ${fixedIds} ids, got ${vocabulary}.`,
    );
  }
  const mergesText = file === "merges.txt" ? await readUtf8(folder.pathOf(file)) : await mergesInside(folder, file);
  const source = { kind: "clip-bpe", mergesText, mergeCount } as const;
  return createTokenizer(source, contextLength, folder.pathOf(file));
}

/** Whether a folder has a file that a CLIP tokenizer may be read from. */
export function hasClipTokenizer({ files }: CheckpointFolder): boolean {
  return clipTokenizerFiles.some((name) => files.has(name));
}

/** The name of the tokenizer's file. @throws UserError `not-found` */
export function requireClipTokenizer(folder: CheckpointFolder): string {
  const file = clipTokenizerFiles.find((name) => folder.files.has(name));
  if (file !== undefined) return file;
  throw new UserError("not-found", `${folder.path}: must hold merges.txt or tokenizer.json. Fetch the tokenizer too.`);
}

const tokenizerSchema = z.object({
  model: z.object({
    type: z.literal("BPE"),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

/** The merges of a `tokenizer.json` as lines after a header; pairs stand there as "a b" or as ["a", "b"]. */
async function mergesInside(folder: CheckpointFolder, file: string): Promise<string> {
  const { merges } = (await folder.parse(file, tokenizerSchema)).model;
  return ["#version: 0.2", ...merges.map((pair) => (Array.isArray(pair) ? pair.join(" ") : pair))].join("\n");
}
