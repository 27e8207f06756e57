import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { UserError } from "../core/errors.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { parseVocabulary } from "../data/tokenizers/wordpiece.ts";
import { fileError } from "../io/file-errors.ts";
import type { TextEncoderConfig } from "../models/text-encoder/text-encoder.ts";
import type { Weights } from "../nn/module.ts";
import type { PretrainRecipe } from "../tasks/pretrain/recipe.ts";
import { importSentenceEncoder } from "../zoo/sentence-transformers.ts";
import { createTokenizer, type TokenizerSource } from "../zoo/tokenizer-files.ts";

/** The text tower that a recipe asks for, before training. */
export interface PretrainingText {
  config: TextEncoderConfig;
  /** Weights to start from; none if the tower starts at random. */
  weights: Weights;
  tokenizer: Tokenizer;
  tokenizerSource: TokenizerSource;
}

/** @param recipePath  what the recipe's relative paths start from */
export async function openTextTower(recipe: PretrainRecipe, recipePath: string): Promise<PretrainingText> {
  const base = dirname(recipePath);
  if (recipe.textWeights !== undefined) return pretrainedEncoder(resolve(base, recipe.textWeights), recipe.textTokens);
  const { merges, mergeCount, ...transformer } = recipe.textTransformer as NonNullable<
    PretrainRecipe["textTransformer"]
  >;
  const path = resolve(base, merges);
  const tokenizerSource = { kind: "clip-bpe", mergesText: await readMerges(path), mergeCount } as const;
  const tokenizer = createTokenizer(tokenizerSource, recipe.textTokens);
  const config = {
    kind: "clip-transformer",
    vocabulary: tokenizer.vocabularySize,
    contextLength: recipe.textTokens,
    ...transformer,
  } as const;
  return { config, weights: new Map(), tokenizer, tokenizerSource };
}

async function pretrainedEncoder(folder: string, contextLength: number): Promise<PretrainingText> {
  const { config, weights } = await importSentenceEncoder(folder, { contextLength });
  const vocabulary = parseVocabulary(await readFile(join(folder, "vocab.txt"), "utf8"));
  if (vocabulary.length !== config.vocabulary) {
    throw new UserError(
      "mismatch",
      `${folder}: vocab.txt must have ${config.vocabulary} lines, got ${vocabulary.length}.`,
    );
  }
  const tokenizerSource = { kind: "wordpiece", vocabulary } as const;
  return { config, weights, tokenizer: createTokenizer(tokenizerSource, contextLength), tokenizerSource };
}

async function readMerges(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  if (!path.endsWith(".gz")) return bytes.toString("utf8");
  try {
    return gunzipSync(bytes).toString("utf8");
  } catch (error) {
    throw new UserError("corrupt", `${path}: must be a gzip file, got: ${(error as Error).message}. Fetch it anew.`, {
      cause: error,
    });
  }
}
