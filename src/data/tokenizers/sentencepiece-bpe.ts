import { UserError } from "../../core/errors.ts";
import { byteNames } from "./sentencepiece-unigram.ts";
import type { SubwordModel } from "./subword-tokenizer.ts";

export interface BpeConfig {
  readonly vocabulary: ReadonlyMap<string, number>; // piece → id
  readonly merges: readonly (readonly [left: string, right: string])[]; // the first merge first
  readonly unknownPiece: string | undefined; // for characters that neither the vocabulary nor bytes cover
  readonly fusesUnknown: boolean; // a run of unknown characters is one piece
  readonly fallsBackToBytes: boolean; // unknown characters become the pieces <0x00> … <0xFF> of their UTF-8
}

/** A pair that may merge, in a heap: the lowest rank first, of equal ones the leftmost. */
interface Candidate {
  readonly rank: number;
  readonly position: number;
}

/**
 * SentencePiece's BPE, as Gemma uses it: the characters of a text are joined pair by pair in the order in which the
 * pairs were learnt; characters outside the vocabulary become bytes. Sennrich et al., arXiv:1508.07909; Kudo and
 * Richardson, arXiv:1808.06226.
 */
export class BpeModel implements SubwordModel {
  readonly #config: BpeConfig;
  readonly #unknownId: number | undefined;
  /** Left id · base + right id → rank. */
  readonly #ranks = new Map<number, number>();
  readonly #mergedIds: Int32Array; // by rank
  readonly #base: number;
  readonly #byteIds: readonly (number | undefined)[];
  readonly #utf8 = new TextEncoder();

  /** @throws UserError `corrupt` for a merge of pieces that the vocabulary lacks, or an unknown piece that it lacks */
  constructor(config: BpeConfig) {
    const { vocabulary, merges, unknownPiece, fallsBackToBytes } = config;
    const idOf = (piece: string, what: string): number => {
      const id = vocabulary.get(piece);
      if (id !== undefined) return id;
      throw new UserError("corrupt", `${what} must be in the vocabulary, got ${JSON.stringify(piece)}, which is not.`);
    };
    let base = 0;
    for (const id of vocabulary.values()) base = Math.max(base, id + 1);
    this.#base = base;
    this.#mergedIds = new Int32Array(merges.length);
    for (const [rank, [left, right]] of merges.entries()) {
      const key = idOf(left, `merge ${rank + 1}`) * base + idOf(right, `merge ${rank + 1}`);
      this.#ranks.set(key, rank);
      this.#mergedIds[rank] = idOf(left + right, `the result of merge ${rank + 1}`);
    }
    this.#unknownId = unknownPiece === undefined ? undefined : idOf(unknownPiece, "the unknown piece");
    this.#byteIds = byteNames.map((name) => (fallsBackToBytes ? vocabulary.get(name) : undefined));
    this.#config = config;
  }

  /** One more than the highest id. */
  get vocabularySize(): number {
    return this.#base;
  }

  get fingerprintParts(): string {
    const { vocabulary, merges, unknownPiece, fusesUnknown, fallsBackToBytes } = this.#config;
    const pieces = [...vocabulary].map(([piece, id]) => `${id} ${piece}`);
    const pairs = merges.map(([left, right]) => `${left} ${right}`);
    return ["bpe/1", unknownPiece, fusesUnknown, fallsBackToBytes, ...pieces, "merges", ...pairs].join("\n");
  }

  idOf(piece: string): number | undefined {
    return this.#config.vocabulary.get(piece);
  }

  encode(text: string): number[] {
    return this.#merge(this.#characters(text));
  }

  /** The ids that merging starts from. */
  #characters(text: string): number[] {
    const ids: number[] = [];
    let followsUnknown = false;
    for (const character of text) {
      const id = this.#config.vocabulary.get(character);
      const bytes = id === undefined ? Array.from(this.#utf8.encode(character), (byte) => this.#byteIds[byte]) : [id];
      if (bytes.every((byte) => byte !== undefined)) {
        ids.push(...bytes);
        followsUnknown = false;
      } else if (this.#unknownId !== undefined) {
        if (!followsUnknown || !this.#config.fusesUnknown) ids.push(this.#unknownId);
        followsUnknown = true;
      }
    }
    return ids;
  }

  /** Joins pairs until none is left: a linked list of pieces, and a heap of the pairs that may merge. */
  #merge(ids: number[]): number[] {
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const isGone = new Uint8Array(ids.length);
    const heap = new CandidateHeap();
    const rankAt = (position: number): number | undefined => {
      const right = next[position];
      return right < ids.length ? this.#ranks.get(ids[position] * this.#base + ids[right]) : undefined;
    };
    const consider = (position: number): void => {
      const rank = rankAt(position);
      if (rank !== undefined) heap.push({ rank, position });
    };
    for (let i = 0; i + 1 < ids.length; i++) consider(i);
    for (let best = heap.pop(); best; best = heap.pop()) {
      const { rank, position } = best;
      // Either piece may have merged with another since; a pair that still stands has the same rank.
      if (isGone[position] || rankAt(position) !== rank) continue;
      const right = next[position];
      ids[position] = this.#mergedIds[rank];
      isGone[right] = 1;
      next[position] = next[right];
      if (next[position] < ids.length) previous[next[position]] = position;
      if (previous[position] >= 0) consider(previous[position]);
      consider(position);
    }
    return ids.filter((_, i) => !isGone[i]);
  }
}

class CandidateHeap {
  readonly #items: Candidate[] = [];

  push(item: Candidate): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(item, items[parent])) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = item;
  }

  pop(): Candidate | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && isBefore(items[child + 1], items[child])) child++;
      if (!isBefore(items[child], last)) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = last;
    return top;
  }
}

function isBefore(a: Candidate, b: Candidate): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.position < b.position);
}
