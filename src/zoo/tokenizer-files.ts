import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { ClipTokenizer } from "../data/tokenizers/clip-bpe.ts";
import { SubwordTokenizer } from "../data/tokenizers/subword-tokenizer.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { parseVocabulary, WordPieceTokenizer } from "../data/tokenizers/wordpiece.ts";
import { readUtf8 } from "../io/text-files.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import type { TokenizerConfig } from "./model-config.ts";
import { readSiglipTokenizer, siglipTokenizerFiles } from "./siglip-tokenizer-files.ts";

/** What a tokenizer is made of, in the form a checkpoint folder holds it. */
export type TokenizerSource =
  | { kind: "wordpiece"; vocabulary: readonly string[] }
  | { kind: "clip-bpe"; mergesText: string; mergeCount: number }
  | { kind: "siglip"; files: Readonly<Record<string, Uint8Array>> }; // as they stand in its folder

type WrittenSource = Exclude<TokenizerSource, { kind: "siglip" }>;

/** @param path  where the source was read, for errors */
export function createTokenizer(source: WrittenSource, contextLength: number, path: string): Tokenizer {
  try {
    return source.kind === "wordpiece"
      ? new WordPieceTokenizer({ vocabulary: source.vocabulary, contextLength })
      : new ClipTokenizer({ ...source, contextLength });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

/** The `tokenizer` entry of `config.json`, and the files beside it by name. */
export function describeTokenizer<Source extends TokenizerSource>(
  source: Source,
  contextLength: number,
): { config: Extract<TokenizerConfig, { kind: Source["kind"] }>; files: Readonly<Record<string, string | Uint8Array>> };
export function describeTokenizer(
  source: TokenizerSource,
  contextLength: number,
): { config: TokenizerConfig; files: Readonly<Record<string, string | Uint8Array>> } {
  if (source.kind === "siglip") return { config: { kind: "siglip", contextLength }, files: source.files };
  if (source.kind === "wordpiece") {
    const text = `${source.vocabulary.join("\n")}\n`;
    return { config: { kind: "wordpiece", vocabulary: "vocab.txt", contextLength }, files: { "vocab.txt": text } };
  }
  const { mergesText, mergeCount } = source;
  // The header line and the merges that count; CLIP's own file goes on after them.
  const text = `${mergesText.split("\n", mergeCount + 1).join("\n")}\n`;
  return {
    config: { kind: "clip-bpe", merges: "merges.txt", mergeCount, contextLength },
    files: { "merges.txt": text },
  };
}

/**
 * What a tokenizer is made of, to be written again.
 *
 * @throws UserError (unsupported) for one whose files cannot be made from it
 */
export function tokenizerSource(tokenizer: Tokenizer): WrittenSource {
  if (tokenizer instanceof WordPieceTokenizer) return { kind: "wordpiece", vocabulary: tokenizer.vocabulary };
  if (tokenizer instanceof ClipTokenizer) {
    const [, , ...merges] = tokenizer.fingerprintParts.split("\n"); // after its name and the context length
    const mergeCount = tokenizer.startId - 512;
    return { kind: "clip-bpe", mergesText: ["#version: 0.2", ...merges].join("\n"), mergeCount };
  }
  throw new UserError(
    "unsupported",
    `tokenizer: must be WordPiece or CLIP's BPE to be written again, got ${tokenizer.constructor.name}. Copy its own files.`,
  );
}

/** As {@link tokenizerSource}; SigLIP's files are read from the `folder` that the tokenizer came from. */
export async function readTokenizerSource(tokenizer: Tokenizer, folder: string): Promise<TokenizerSource> {
  if (!(tokenizer instanceof SubwordTokenizer)) return tokenizerSource(tokenizer);
  const present = (await CheckpointFolder.open(folder)).files;
  const names = siglipTokenizerFiles.filter((name) => present.has(name));
  const files = await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const));
  return { kind: "siglip", files: Object.fromEntries(files) };
}

/**
 * Reads the tokenizer that a checkpoint folder's `config.json` describes.
 *
 * @param vocabulary  ids that the model takes
 * @throws UserError (mismatch) if it has another number of them; SigLIP's may have fewer
 */
export async function readTokenizer(folder: string, config: TokenizerConfig, vocabulary: number): Promise<Tokenizer> {
  if (config.kind === "siglip") {
    return readSiglipTokenizer(await CheckpointFolder.open(folder), { vocabulary, ...config });
  }
  const tokenizer = await readWritten(folder, config);
  if (tokenizer.vocabularySize === vocabulary) return tokenizer;
  const rule = `the tokenizer must have ${vocabulary} ids, as the model`;
  throw new UserError("mismatch", `${folder}: ${rule}, got ${tokenizer.vocabularySize}.`);
}

async function readWritten(folder: string, config: Exclude<TokenizerConfig, { kind: "siglip" }>): Promise<Tokenizer> {
  const path = join(folder, config.kind === "wordpiece" ? config.vocabulary : config.merges);
  const text = await readUtf8(path);
  const source: WrittenSource =
    config.kind === "wordpiece"
      ? { kind: "wordpiece", vocabulary: parseVocabulary(text) }
      : { kind: "clip-bpe", mergesText: text, mergeCount: config.mergeCount };
  return createTokenizer(source, config.contextLength, path);
}
