import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { ClipTokenizer } from "../data/tokenizers/clip-bpe.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { parseVocabulary, WordPieceTokenizer } from "../data/tokenizers/wordpiece.ts";
import { readUtf8 } from "../io/text-files.ts";
import type { TokenizerConfig } from "./model-config.ts";

/** What a tokenizer is made of, in the form a checkpoint folder holds it. */
export type TokenizerSource =
  | { kind: "wordpiece"; vocabulary: readonly string[] }
  | { kind: "clip-bpe"; mergesText: string; mergeCount: number };

/** @param path  where the source was read, for errors */
export function createTokenizer(source: TokenizerSource, contextLength: number, path: string): Tokenizer {
  try {
    return source.kind === "wordpiece"
      ? new WordPieceTokenizer({ vocabulary: source.vocabulary, contextLength })
      : new ClipTokenizer({ ...source, contextLength });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

/** The `tokenizer` entry of `config.json`, and the name and text of the file beside it. */
export function describeTokenizer(
  source: TokenizerSource,
  contextLength: number,
): { config: TokenizerConfig; file: { name: string; text: string } } {
  if (source.kind === "wordpiece") {
    const text = `${source.vocabulary.join("\n")}\n`;
    return {
      config: { kind: "wordpiece", vocabulary: "vocab.txt", contextLength },
      file: { name: "vocab.txt", text },
    };
  }
  const { mergesText, mergeCount } = source;
  // The header line and the merges that count; CLIP's own file goes on after them.
  const text = `${mergesText.split("\n", mergeCount + 1).join("\n")}\n`;
  return {
    config: { kind: "clip-bpe", merges: "merges.txt", mergeCount, contextLength },
    file: { name: "merges.txt", text },
  };
}

/** Reads the tokenizer that a checkpoint folder's `config.json` describes. */
export async function readTokenizer(folder: string, config: TokenizerConfig): Promise<Tokenizer> {
  const path = join(folder, config.kind === "wordpiece" ? config.vocabulary : config.merges);
  const text = await readUtf8(path);
  const source: TokenizerSource =
    config.kind === "wordpiece"
      ? { kind: "wordpiece", vocabulary: parseVocabulary(text) }
      : { kind: "clip-bpe", mergesText: text, mergeCount: config.mergeCount };
  return createTokenizer(source, config.contextLength, path);
}
