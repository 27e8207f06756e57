/** A text to token ids, with the special tokens a text encoder expects. Equal texts give equal ids. */
export interface Tokenizer {
  /** The most ids `encode` returns, special tokens included. */
  readonly contextLength: number;
  /** The id that fills a batch up to a common length. */
  readonly padId: number;
  /** How many ids there are: every id is below it. */
  readonly vocabularySize: number;
  /** Everything that decides the ids of a text; goes into a model's fingerprint. */
  readonly fingerprintParts: string;
  /** Ids with the special tokens, cut to `contextLength`; padded only for encoders that read padding as they do words. */
  encode(text: string): Int32Array;
}

/**
 * Ids of several texts as one padded table.
 *
 * @param minimum  fill every text up to so many ids at least
 * @returns  ids and mask, both [B, N] row-major with N = the longest text; mask is 1 on tokens and 0 on padding
 */
export function encodeBatch(
  tokenizer: Tokenizer,
  texts: readonly string[],
  minimum = 0,
): { ids: Int32Array; mask: Float32Array; length: number } {
  const rows = texts.map((text) => tokenizer.encode(text));
  const length = rows.reduce((longest, row) => Math.max(longest, row.length), minimum);
  const ids = new Int32Array(texts.length * length).fill(tokenizer.padId);
  const mask = new Float32Array(texts.length * length);
  for (const [index, row] of rows.entries()) {
    ids.set(row, index * length);
    mask.fill(1, index * length, index * length + row.length);
  }
  return { ids, mask, length };
}

/** A memo of words already split; it starts anew when full, so that a stream of rare words cannot fill the memory. */
export class WordCache {
  readonly #pieces = new Map<string, readonly number[]>();
  readonly #capacity: number;

  constructor(capacity = 65_536) {
    this.#capacity = capacity;
  }

  get(word: string, split: (word: string) => readonly number[]): readonly number[] {
    const known = this.#pieces.get(word);
    if (known !== undefined) return known;
    const pieces = split(word);
    if (this.#pieces.size >= this.#capacity) this.#pieces.clear();
    this.#pieces.set(word, pieces);
    return pieces;
  }
}
