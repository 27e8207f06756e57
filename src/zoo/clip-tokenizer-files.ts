import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { ClipTokenizer } from "../data/tokenizers/clip-bpe.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { bundledMergesPath, meansClipMerges, readBundledMerges } from "./clip-merges.ts";
import { createTokenizer } from "./tokenizer-files.ts";

/** Ids of a CLIP vocabulary that are no merges: 256 bytes, 256 word-final bytes, start and end. */
const fixedIds = 514;

/** Files that a CLIP tokenizer may be read from, the preferred first. */
const clipTokenizerFiles: readonly string[] = ["merges.txt", "tokenizer.json"];
interface ClipTokenizerSizes {
  readonly vocabulary: number; // rows of the model's token table
  readonly contextLength: number; // tokens it takes
  /** Whether the layout's own library brings CLIP's merges, so that a folder may lack them. */
  readonly isBundled?: boolean;
}

/**
 * CLIP's tokenizer from a foreign folder: `merges.txt`, or the merges inside `tokenizer.json`; where neither is there and
 * the layout leaves it to its library, CLIP's own merges.
 *
 * @throws UserError `not-found` if neither file is there; `mismatch` if the vocabulary has another length, or if
 *         `vocab.json` or `tokenizer.json` number a token otherwise than the merges do
 */
export async function readClipTokenizer(
  folder: CheckpointFolder,
  { vocabulary, contextLength, isBundled = false }: ClipTokenizerSizes,
): Promise<Tokenizer> {
  const mergeCount = vocabulary - fixedIds;
  const file = clipTokenizerFiles.find((name) => folder.files.has(name));
  if (file === undefined && !(isBundled && (await meansClipMerges(folder, vocabulary)))) {
    throw new UserError(
      "not-found",
      `${folder.path}: must hold merges.txt or tokenizer.json. Fetch the tokenizer too.`,
    );
  }
  if (mergeCount < 0) {
    throw new UserError(
      "mismatch",
      `${folder.path}: the vocabulary must have at least ${fixedIds} ids, got ${vocabulary}.`,
    );
  }
  const mergesText = await mergesOf(folder, file);
  const source = { kind: "clip-bpe", mergesText, mergeCount } as const;
  const path = file === undefined ? bundledMergesPath : folder.pathOf(file);
  const tokenizer = createTokenizer(source, contextLength, path);
  if (tokenizer instanceof ClipTokenizer) await requireNumbering(folder, tokenizer.tokens);
  return tokenizer;
}

/** Whether a folder has a file that a CLIP tokenizer may be read from. */
export function hasClipTokenizer({ files }: CheckpointFolder): boolean {
  return clipTokenizerFiles.some((name) => files.has(name));
}

function mergesOf(folder: CheckpointFolder, file: string | undefined): Promise<string> {
  if (file === undefined) return readBundledMerges();
  return file === "merges.txt" ? folder.text(file) : mergesInside(folder, file);
}

// Large tables are not described to zod, which would copy them.
const table = z.custom<Record<string, unknown>>((value) => typeof value === "object" && value !== null);
const tokenizerSchema = z.object({
  added_tokens: z.array(z.object({ id: z.int(), content: z.string() })).default([]),
  model: z.object({
    type: z.literal("BPE"),
    vocab: table.optional(),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

/** Ids follow from the merges, as in CLIP; a model of another numbering must not be read with wrong ids. */
async function requireNumbering(folder: CheckpointFolder, tokens: readonly string[]): Promise<void> {
  if (folder.files.has("vocab.json")) {
    requireSameIds(
      folder.pathOf("vocab.json"),
      new Map(Object.entries(await folder.parse("vocab.json", table))),
      tokens,
    );
  }
  if (!folder.files.has("tokenizer.json")) return;
  const { added_tokens: added, model } = await folder.parse("tokenizer.json", tokenizerSchema);
  if (!model.vocab) return;
  const ids = new Map(Object.entries(model.vocab));
  for (const { id, content } of added) ids.set(content, id);
  requireSameIds(folder.pathOf("tokenizer.json"), ids, tokens);
}

function requireSameIds(path: string, stored: ReadonlyMap<string, unknown>, tokens: readonly string[]): void {
  const wanted = new Map(tokens.map((token, id) => [token, id]));
  const differing = [...wanted.keys(), ...stored.keys()].find((token) => stored.get(token) !== wanted.get(token));
  if (differing === undefined) return;
  const idIn = (ids: ReadonlyMap<string, unknown>): string => JSON.stringify(ids.get(differing)) ?? "none";
  const rule = `${path}: ${JSON.stringify(differing)} must have the id that follows from CLIP's merges, ${idIn(wanted)}`;
  throw new UserError(
    "mismatch",
    `${rule}, got ${idIn(stored)}. Models of another tokenizer than CLIP's are not read.`,
  );
}

/** The merges of a `tokenizer.json` as lines after a header; pairs stand there as "a b" or as ["a", "b"]. */
async function mergesInside(folder: CheckpointFolder, file: string): Promise<string> {
  const { merges } = (await folder.parse(file, tokenizerSchema)).model;
  return ["#version: 0.2", ...merges.map((pair) => (Array.isArray(pair) ? pair.join(" ") : pair))].join("\n");
}
