import { UserError } from "../../core/errors.ts";
import type { SubwordModel } from "./subword-tokenizer.ts";

/** Unknown characters cost this much more than the rarest piece. */
const unknownPenalty = 10;

/** The pieces of single bytes, <0x00> … <0xFF>. */
export const byteNames: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

export interface UnigramPiece {
  readonly text: string;
  readonly score: number; // natural logarithm of its probability
  readonly matches: boolean; // whether it may stand for text; control pieces do not
  readonly isNormal: boolean; // whether its score counts among those that the cost of unknown characters follows
}

export interface UnigramOptions {
  /**
   * Of the sums of scores: "single" as in SentencePiece itself, "double" as in the tokenizers library; they decide between
   * ways that are all but equally probable.
   */
  readonly precision: "single" | "double";
  /** Ids of the 256 bytes, if unknown characters become the bytes of their UTF-8. */
  readonly byteIds?: readonly number[] | undefined;
}

/**
 * SentencePiece's unigram model: of all ways to cut a text into pieces, the most probable; characters that no piece
 * covers are unknown, a run of them being one, or become bytes. Kudo, arXiv:1804.10959.
 */
export class UnigramModel implements SubwordModel {
  readonly #pieces: readonly UnigramPiece[];
  readonly #ids = new Map<string, number>();
  readonly #unknownId: number;
  readonly #unknownScore: number;
  readonly #longest: number; // UTF-16 units of the longest piece
  readonly #round: (value: number) => number;
  readonly #byteIds: readonly number[] | undefined;
  readonly #utf8 = new TextEncoder();

  /**
   * @param pieces  in id order
   * @throws UserError `corrupt` for a piece that stands twice, or an unknown piece that is not there
   */
  constructor(pieces: readonly UnigramPiece[], unknownId: number, { precision, byteIds }: UnigramOptions) {
    if (!Number.isInteger(unknownId) || unknownId < 0 || unknownId >= pieces.length) {
      throw new UserError("corrupt", `the unknown piece must be one of ${pieces.length}, got number ${unknownId}.`);
    }
    this.#round = precision === "single" ? Math.fround : (value) => value;
    let lowest = Number.POSITIVE_INFINITY;
    let longest = 0;
    for (const [id, { text, score, matches, isNormal }] of pieces.entries()) {
      if (isNormal) lowest = Math.min(lowest, score);
      if (!matches) continue;
      if (this.#ids.has(text)) {
        throw new UserError("corrupt", `every piece must be there once, got ${JSON.stringify(text)} twice.`);
      }
      this.#ids.set(text, id);
      longest = Math.max(longest, text.length);
    }
    this.#pieces = pieces;
    this.#byteIds = byteIds;
    this.#unknownId = unknownId;
    this.#unknownScore = this.#round(lowest - unknownPenalty);
    this.#longest = longest;
  }

  get vocabularySize(): number {
    return this.#pieces.length;
  }

  get fingerprintParts(): string {
    const pieces = this.#pieces.map(({ text, score, matches }) => `${text} ${score} ${matches}`);
    const bytes = this.#byteIds ? [`bytes ${this.#byteIds.join()}`] : [];
    return ["unigram/1", this.#unknownId, ...bytes, ...pieces].join("\n");
  }

  idOf(piece: string): number | undefined {
    const found = this.#ids.get(piece);
    if (found !== undefined) return found;
    const id = this.#pieces.findIndex(({ text }) => text === piece);
    return id < 0 ? undefined : id;
  }

  encode(text: string): number[] {
    const { length } = text;
    const scores = new Float64Array(length + 1); // of the best way that ends here
    const starts = new Int32Array(length + 1).fill(-1); // where its last piece begins
    const ids = new Int32Array(length + 1);
    const offer = (start: number, end: number, id: number, score: number): void => {
      const candidate = this.#round(score + scores[start]);
      if (starts[end] >= 0 && candidate <= scores[end]) return;
      scores[end] = candidate;
      starts[end] = start;
      ids[end] = id;
    };
    for (let start = 0; start < length; ) {
      const character = (text.codePointAt(start) as number) > 0xffff ? 2 : 1;
      const furthest = Math.min(length, start + this.#longest);
      let isKnown = false;
      for (let end = start + 1; end <= furthest; end++) {
        const id = this.#ids.get(text.slice(start, end));
        if (id === undefined) continue;
        offer(start, end, id, (this.#pieces[id] as UnigramPiece).score);
        if (end === start + character) isKnown = true;
      }
      if (!isKnown) offer(start, start + character, this.#unknownId, this.#unknownScore);
      start += character;
    }
    const path: number[] = [];
    for (let end = length; end > 0; end = starts[end]) {
      if (ids[end] === this.#unknownId && this.#byteIds) {
        for (const byte of this.#utf8.encode(text.slice(starts[end], end)).reverse()) path.push(this.#byteIds[byte]);
      } else if (ids[end] !== this.#unknownId || path.at(-1) !== this.#unknownId) path.push(ids[end]);
    }
    return path.reverse();
  }
}
