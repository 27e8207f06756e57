import { dirname, join, resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { parseVocabulary } from "../data/tokenizers/wordpiece.ts";
import { readUnpacked } from "../io/archives.ts";
import { readUtf8 } from "../io/text-files.ts";
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
  const mergesText = new TextDecoder().decode(await readUnpacked(path));
  const tokenizerSource = { kind: "clip-bpe", mergesText, mergeCount } as const;
  const tokenizer = createTokenizer(tokenizerSource, recipe.textTokens, path);
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
  const vocabularyPath = join(folder, "vocab.txt");
  const vocabulary = parseVocabulary(await readUtf8(vocabularyPath));
  if (vocabulary.length !== config.vocabulary) {
    throw new UserError(
      "mismatch",
      `${vocabularyPath}: must have ${config.vocabulary} lines, got ${vocabulary.length}.`,
    );
  }
  const tokenizerSource = { kind: "wordpiece", vocabulary } as const;
  return {
    config,
    weights,
    tokenizer: createTokenizer(tokenizerSource, contextLength, vocabularyPath),
    tokenizerSource,
  };
}
