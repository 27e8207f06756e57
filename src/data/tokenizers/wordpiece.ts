import { UserError } from "../../core/errors.ts";
import { type Tokenizer, WordCache } from "./tokenizer.ts";

/** The special entries a WordPiece vocabulary must hold. */
const SPECIAL_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] as const;

/** Longer words are not searched but become one [UNK]. */
const LONGEST_WORD = 100;

const CJK =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const DROPPED = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\ufffd]/gu;
const WORDS = /[!-/:-@[-`{-~\p{P}]|[^!-/:-@[-`{-~\p{P}\p{White_Space}]+/gu;

/**
 * The lower-case words and single punctuation marks of a text, as BERT-uncased sees them: control characters dropped,
 * accents stripped, every Chinese character a word. Devlin et al., arXiv:1810.04805.
 */
export function bertWords(text: string): string[] {
  return normalizeForBert(text).match(WORDS) ?? [];
}

function normalizeForBert(text: string): string {
  if (/^[\t\n\r\x20-\x7e]*$/.test(text)) return text.toLowerCase();
  const stripped = text
    .replace(DROPPED, "")
    .replace(CJK, " $& ")
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "");
  // Character by character: lower-casing a whole text would give a final capital sigma its word-final form.
  return Array.from(stripped, (character) => character.toLowerCase()).join("");
}

/** The entries of a `vocab.txt`, one a line, in id order. */
export function parseVocabulary(text: string): string[] {
  const lines = text.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  while (lines.at(-1) === "") lines.pop();
  return lines;
}

/**
 * BERT's uncased WordPiece tokenizer: each word is cut greedily into the longest known pieces, a word with a part that
 * no piece covers is [UNK] as a whole, and a text is [CLS] pieces [SEP]. Wu et al., arXiv:1609.08144 §4.1.
 * Differs: the names of special pieces inside a text are plain text, so that no caller can inject them.
 */
export class WordPieceTokenizer implements Tokenizer {
  readonly contextLength: number;
  readonly padId: number;
  readonly vocabulary: readonly string[];
  readonly #ids = new Map<string, number>();
  readonly #cache = new WordCache();
  readonly #longestPiece: number;
  readonly #unknownId: number;
  readonly #firstId: number;
  readonly #lastId: number;

  /**
   * @param vocabulary     entries in id order; pieces inside a word begin with `##`
   * @param contextLength  ≥ 2, room for [CLS] and [SEP] included
   * @throws  UserError `corrupt` if a special piece is missing or an entry stands twice, `bad-argument` for the length
   */
  constructor({ vocabulary, contextLength }: { vocabulary: readonly string[]; contextLength: number }) {
    if (!Number.isInteger(contextLength) || contextLength < 2) {
      throw new UserError(
        "bad-argument",
        `WordPieceTokenizer: the context length must be a whole number of at least 2, got ${contextLength}.`,
      );
    }
    for (const [id, piece] of vocabulary.entries()) {
      if (this.#ids.has(piece)) {
        throw new UserError(
          "corrupt",
          `WordPieceTokenizer: every vocabulary entry must be there once, got "${piece}" on lines ` +
            `${(this.#ids.get(piece) ?? 0) + 1} and ${id + 1}. Use the vocabulary file the model came with.`,
        );
      }
      this.#ids.set(piece, id);
    }
    const [padId, unknownId, firstId, lastId] = SPECIAL_PIECES.map((piece) => this.#specialId(piece));
    this.contextLength = contextLength;
    this.vocabulary = vocabulary;
    this.padId = padId as number;
    this.#unknownId = unknownId as number;
    this.#firstId = firstId as number;
    this.#lastId = lastId as number;
    this.#longestPiece = vocabulary.reduce((longest, piece) => Math.max(longest, piece.length), 0);
  }

  get vocabularySize(): number {
    return this.vocabulary.length;
  }

  get fingerprintParts(): string {
    return ["wordpiece/1", this.contextLength, ...this.vocabulary].join("\n");
  }

  encode(text: string): Int32Array {
    const room = this.contextLength - 2;
    const ids: number[] = [this.#firstId];
    for (const word of bertWords(text)) {
      if (ids.length > room) break;
      for (const id of this.encodeWord(word)) ids.push(id);
    }
    ids.length = Math.min(ids.length, room + 1);
    ids.push(this.#lastId);
    return Int32Array.from(ids);
  }

  /** The piece ids of one word of `bertWords`. */
  encodeWord(word: string): readonly number[] {
    return this.#cache.get(word, (uncached) => this.#split(uncached));
  }

  #split(word: string): readonly number[] {
    if (Array.from(word).length > LONGEST_WORD) return [this.#unknownId];
    const ids: number[] = [];
    let start = 0;
    while (start < word.length) {
      const prefix = start === 0 ? "" : "##";
      let end = Math.min(word.length, start + this.#longestPiece);
      let id: number | undefined;
      while (end > start) {
        id = this.#ids.get(prefix + word.slice(start, end));
        if (id !== undefined) break;
        end--;
      }
      if (id === undefined) return [this.#unknownId];
      ids.push(id);
      start = end;
    }
    return ids;
  }

  #specialId(piece: string): number {
    const id = this.#ids.get(piece);
    if (id !== undefined) return id;
    throw new UserError(
      "corrupt",
      `WordPieceTokenizer: the vocabulary must hold ${SPECIAL_PIECES.join(", ")}, got no ${piece} in ` +
        `${this.#ids.size} entries. Use the vocabulary file the model came with.`,
    );
  }
}
