import { UserError } from "../../core/errors.ts";
import { cleanClipText } from "./clip-text.ts";
import { type Tokenizer, WordCache } from "./tokenizer.ts";

/** How many merges of CLIP's file count; the rest of its lines are not used. */
export const CLIP_MERGE_COUNT = 48_894;

const WORDS =
  /<\|startoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;

/** The reference's pattern ignores case; the other case of this combining sign is a letter, and so it matches nothing. */
const SKIPPED = "\u0345";

/**
 * CLIP's byte-level BPE tokenizer: every word of the cleaned text becomes its UTF-8 bytes, the last one marked as the
 * end, and the pair with the lowest rank is merged until none is left. Ids: 256 bytes, 256 word-final bytes, one per
 * merge, start, end. Sennrich et al., arXiv:1508.07909; Radford et al., arXiv:2103.00020.
 */
export class ClipTokenizer implements Tokenizer {
  readonly contextLength: number;
  readonly padId = 0;
  readonly vocabularySize: number;
  readonly fingerprintParts: string;
  readonly startId: number;
  readonly endId: number;
  /** Left id · vocabulary size + right id → the merged id; lower ids merge first. */
  readonly #merges = new Map<number, number>();
  readonly #byteIds: readonly number[];
  readonly #cache = new WordCache();
  readonly #utf8 = new TextEncoder();

  /**
   * @param mergesText     the unpacked merges file: a header line, then one merge `left right` a line
   * @param contextLength  ≥ 2, start and end included; CLIP 77, Florence 76
   * @param mergeCount     how many merges to take
   * @throws  UserError `corrupt` if the file has fewer lines or one names a symbol no earlier line made
   */
  constructor({
    mergesText,
    contextLength = 77,
    mergeCount = CLIP_MERGE_COUNT,
  }: {
    mergesText: string;
    contextLength?: number;
    mergeCount?: number;
  }) {
    if (!Number.isInteger(contextLength) || contextLength < 2) {
      throw new UserError(
        "bad-argument",
        `ClipTokenizer: the context length must be a whole number of at least 2, got ${contextLength}.`,
      );
    }
    const symbols = byteSymbols();
    this.contextLength = contextLength;
    this.startId = 512 + mergeCount;
    this.endId = this.startId + 1;
    this.vocabularySize = this.endId + 1;
    this.#byteIds = symbols.byteIds;

    const lines = mergesText.split("\n", mergeCount + 1);
    const ids = symbols.ids;
    for (let rank = 0; rank < mergeCount; rank++) {
      const [left = "", right = "", ...rest] = lines[rank + 1]?.trim().split(" ") ?? [];
      const leftId = ids.get(left);
      const rightId = ids.get(right);
      if (leftId === undefined || rightId === undefined || rest.length > 0) {
        throw new UserError(
          "corrupt",
          `ClipTokenizer: line ${rank + 2} of the merges must join two known symbols, got ` +
            `${lines[rank + 1] === undefined ? "the end of the file" : JSON.stringify(lines[rank + 1])}. ` +
            "Use CLIP's bpe_simple_vocab_16e6.txt, unpacked.",
        );
      }
      this.#merges.set(leftId * this.vocabularySize + rightId, 512 + rank);
      ids.set(left + right, 512 + rank);
    }
    this.fingerprintParts = ["clip-bpe/2", contextLength, ...lines.slice(1)].join("\n");
  }

  /** What each id stands for, in id order, as `vocab.json` writes it; made anew on every call. */
  get tokens(): string[] {
    const merges = this.fingerprintParts.split("\n").slice(2, 2 + this.startId - 512); // after name and context length
    const bytes = Array.from(byteSymbols().ids).sort(([, a], [, b]) => a - b);
    const joined = merges.map((line) => line.trim().replace(" ", ""));
    return [...bytes.map(([symbol]) => symbol), ...joined, "<|startoftext|>", "<|endoftext|>"];
  }

  encode(text: string): Int32Array {
    const room = this.contextLength - 1;
    const ids: number[] = [this.startId];
    for (const [word] of cleanClipText(text).replaceAll(SKIPPED, " ").matchAll(WORDS)) {
      if (ids.length >= room) break;
      for (const id of this.#cache.get(word, (uncached) => this.#encodeWord(uncached))) ids.push(id);
    }
    ids.length = Math.min(ids.length, room);
    ids.push(this.endId);
    return Int32Array.from(ids);
  }

  #encodeWord(word: string): readonly number[] {
    if (word === "<|startoftext|>") return [this.startId];
    if (word === "<|endoftext|>") return [this.endId];
    let symbols = Array.from(this.#utf8.encode(word), (byte) => this.#byteIds[byte] as number);
    symbols[symbols.length - 1] = (symbols.at(-1) as number) + 256;
    for (;;) {
      const merged = this.#lowestMerge(symbols);
      if (merged === Number.POSITIVE_INFINITY) return symbols;
      symbols = this.#applyMerge(symbols, merged);
    }
  }

  #mergeOf(left: number, right: number): number {
    return this.#merges.get(left * this.vocabularySize + right) ?? Number.POSITIVE_INFINITY;
  }

  #lowestMerge(symbols: readonly number[]): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 1; i < symbols.length; i++) {
      lowest = Math.min(lowest, this.#mergeOf(symbols[i - 1] as number, symbols[i] as number));
    }
    return lowest;
  }

  #applyMerge(symbols: readonly number[], merged: number): number[] {
    const shorter: number[] = [];
    for (let i = 0; i < symbols.length; i++) {
      const symbol = symbols[i] as number;
      if (i + 1 < symbols.length && this.#mergeOf(symbol, symbols[i + 1] as number) === merged) {
        shorter.push(merged);
        i++;
      } else {
        shorter.push(symbol);
      }
    }
    return shorter;
  }
}

/**
 * GPT-2's printable stand-ins for bytes: the bytes that print in Latin-1 stand for themselves and come first, the
 * other 68 follow as U+0100 and up. A symbol's id is its place in that order, 256 more at the end of a word.
 */
function byteSymbols(): { byteIds: number[]; ids: Map<string, number> } {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const order = [...bytes.filter(printable), ...bytes.filter((byte) => !printable(byte))];
  const byteIds: number[] = new Array(256);
  const ids = new Map<string, number>();
  let standIn = 0x100;
  for (const [id, byte] of order.entries()) {
    const symbol = String.fromCharCode(printable(byte) ? byte : standIn++);
    byteIds[byte] = id;
    ids.set(symbol, id);
    ids.set(`${symbol}</w>`, id + 256);
  }
  return { byteIds, ids };
}
