import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { AddedTokens, addedTokenSchema } from "./added-tokens.ts";
import { createPreTokenizer, type PreTokenizer } from "./pre-tokenizers.ts";
import { BpeModel } from "./sentencepiece-bpe.ts";
import { byteNames, UnigramModel } from "./sentencepiece-unigram.ts";
import type { SubwordModel, SubwordPipeline } from "./subword-tokenizer.ts";
import { createNormalizer, lowerCaseEach, type TextNormalizer } from "./text-normalizers.ts";

const piece = z.string();
const none = z.union([z.null(), z.literal("")]).optional();

// The two large tables are not described to zod, which would copy them: they are checked entry by entry below.
const modelSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("Unigram"),
    unk_id: z.int().nonnegative(),
    vocab: z.array(z.unknown()),
    byte_fallback: z.boolean().default(false),
  }),
  z.object({
    type: z.literal("BPE"),
    vocab: z.custom<Record<string, unknown>>((value) => typeof value === "object" && value !== null),
    merges: z.array(z.unknown()),
    unk_token: piece.nullish(),
    dropout: z.null().optional(),
    continuing_subword_prefix: none,
    end_of_word_suffix: none,
    fuse_unk: z.boolean().default(false),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.literal(false).default(false),
  }),
]);

const templatePart = z.union([
  z.object({ SpecialToken: z.object({ id: piece }) }),
  z.object({ Sequence: z.object({ id: z.literal("A") }) }),
]);

const fileSchema = z.object({
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.object({ type: z.literal("TemplateProcessing"), single: z.array(templatePart) }).nullish(),
  model: modelSchema,
});

export interface TokenizerJsonOptions {
  /** Lower-case all text first, for models that were trained so and whose file does not say it. */
  readonly lowerCase?: boolean;
}

/**
 * A tokenizer of the tokenizers library, from the content of its `tokenizer.json`: unigram models and BPE over
 * characters, with their normalisation, splitting, added tokens and template of special tokens.
 */
export class TokenizerJson implements SubwordPipeline {
  readonly vocabularySize: number;
  readonly modelType: "Unigram" | "BPE";
  /** Ids that the file's template puts before and after a text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly #model: SubwordModel;
  readonly #rawTokens: AddedTokens; // found in the text as it is
  readonly #normalizedTokens: AddedTokens;
  readonly #normalize: TextNormalizer;
  readonly #split: PreTokenizer;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #settings: string;

  /**
   * @param json  the parsed file
   * @throws UserError `unsupported` naming the field that asks for something else, `corrupt` for broken tables
   */
  constructor(json: unknown, { lowerCase = false }: TokenizerJsonOptions = {}) {
    const parsed = fileSchema.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new UserError("unsupported", `${issue?.path.join(".") || "the whole"} is not right: ${issue?.message}.`);
    }
    const { added_tokens: tokens, normalizer, pre_tokenizer, post_processor, model } = parsed.data;
    this.modelType = model.type;
    this.#model = model.type === "Unigram" ? unigramOf(model) : bpeOf(model);
    const normalize = createNormalizer(normalizer);
    this.#normalize = lowerCase ? (text) => normalize(lowerCaseEach(text)) : normalize;
    this.#split = createPreTokenizer(pre_tokenizer);
    this.#rawTokens = new AddedTokens(tokens.filter(({ normalized }) => !normalized));
    this.#normalizedTokens = new AddedTokens(
      tokens
        .filter(({ normalized }) => normalized)
        .map((token) => ({ ...token, content: this.#normalize(token.content) })),
    );
    this.#addedIds = new Map(tokens.map(({ content, id }) => [content, id]));
    this.vocabularySize = tokens.reduce((size, { id }) => Math.max(size, id + 1), this.#model.vocabularySize);
    const template = post_processor?.single ?? [{ Sequence: { id: "A" as const } }];
    const middle = template.findIndex((part) => "Sequence" in part);
    if (middle < 0) throw new UserError("unsupported", "post_processor.single must hold the sequence A, it does not.");
    const specials = template.map((part) => ("SpecialToken" in part ? this.#requireId(part.SpecialToken.id) : -1));
    this.prefix = specials.slice(0, middle);
    this.suffix = specials.slice(middle + 1);
    this.#settings = JSON.stringify([tokens, normalizer, pre_tokenizer, lowerCase]);
  }

  get fingerprintParts(): string {
    return ["tokenizer-json/1", this.#settings, this.#model.fingerprintParts].join("\n");
  }

  idOf(piece: string): number | undefined {
    return this.#addedIds.get(piece) ?? this.#model.idOf(piece);
  }

  idsOf(text: string): number[] {
    const ids: number[] = [];
    let isFirst = true;
    for (const raw of this.#rawTokens.split(text.replace(/[\ud800-\udfff]/gu, "\ufffd"))) {
      const segments = "id" in raw ? [raw] : this.#normalizedTokens.split(this.#normalize(raw.text));
      for (const segment of segments) {
        if ("id" in segment) ids.push(segment.id);
        else
          for (const part of this.#split(segment.text, isFirst))
            for (const id of this.#model.encode(part)) ids.push(id);
        isFirst = false;
      }
    }
    return ids;
  }

  #requireId(piece: string): number {
    const id = this.idOf(piece);
    if (id !== undefined) return id;
    throw new UserError("corrupt", `post_processor: ${JSON.stringify(piece)} must be in the vocabulary, it is not.`);
  }
}

interface StoredUnigram {
  vocab: readonly unknown[];
  unk_id: number;
  byte_fallback: boolean;
}

function unigramOf({ vocab, unk_id, byte_fallback }: StoredUnigram): UnigramModel {
  const pieces = vocab.map((entry, id) => {
    const [text, score] = Array.isArray(entry) ? entry : [];
    if (typeof text !== "string" || typeof score !== "number") {
      throw new UserError("corrupt", `model.vocab: entry ${id} must be [text, number], got ${JSON.stringify(entry)}.`);
    }
    return { text, score, matches: true, isNormal: true };
  });
  if (!byte_fallback) return new UnigramModel(pieces, unk_id, { precision: "double" });
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const byteIds = byteNames.map((name) => {
    const id = ids.get(name);
    if (id !== undefined) return id;
    throw new UserError("corrupt", `model.vocab: byte_fallback must find all bytes, got no ${name}.`);
  });
  return new UnigramModel(pieces, unk_id, { precision: "double", byteIds });
}

interface StoredBpe {
  vocab: Readonly<Record<string, unknown>>;
  merges: readonly unknown[];
  unk_token?: string | null | undefined;
  fuse_unk: boolean;
  byte_fallback: boolean;
}

function bpeOf({ vocab, merges, unk_token, fuse_unk, byte_fallback }: StoredBpe): BpeModel {
  const vocabulary = new Map<string, number>();
  for (const [text, id] of Object.entries(vocab)) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id > 0x7ffffff) {
      throw new UserError(
        "corrupt",
        `model.vocab: ${JSON.stringify(text)} must have an id, got ${JSON.stringify(id)}.`,
      );
    }
    vocabulary.set(text, id);
  }
  const pairs = merges.map((merge, rank) => {
    const pair: unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = pair;
    if (pair.length !== 2 || typeof left !== "string" || typeof right !== "string") {
      throw new UserError(
        "corrupt",
        `model.merges: merge ${rank + 1} must join two pieces, got ${JSON.stringify(merge)}.`,
      );
    }
    return [left, right] as const;
  });
  return new BpeModel({
    vocabulary,
    merges: pairs,
    unknownPiece: unk_token ?? undefined,
    fusesUnknown: fuse_unk,
    fallsBackToBytes: byte_fallback,
  });
}
