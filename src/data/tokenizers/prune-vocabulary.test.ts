import { describe, expect, it } from "vitest";
import { pruneVocabulary, takeRows } from "./prune-vocabulary.ts";
import { bertWords, WordPieceTokenizer } from "./wordpiece.ts";

const specials = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const characters = ["a", "d", "g", "o", "s", "##a", "##d", "##g", "##o", "##s", "東"];
const words = ["the", "dog", "goad", "##gs", "dogs", "rare", "##ad"];
const vocabulary = [...specials, ...characters, ...words];
const always = specials.length - 1 + characters.length - 1;

function prune(size: number, texts: string[], minimumCount = 1) {
  return pruneVocabulary({
    vocabulary,
    size,
    textLists: [{ texts, minimumCount }],
    isWanted: (piece) => !/[[\u0100-\uffff]/.test(piece),
  });
}

describe("pruneVocabulary", () => {
  it("keeps special entries and single Latin characters, drops unused ones and other scripts", () => {
    expect(prune(always, []).vocabulary).toEqual([
      ...["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
      ...characters.slice(0, -1),
    ]);
    expect(() => prune(always - 1, [])).toThrow(`got room for ${always - 1} of ${always}`);
  });

  it("takes the pieces of the texts first, then the frequent entries, in the old order", () => {
    expect(prune(always + 1, ["rare goad", "Rare!"]).vocabulary.slice(always)).toEqual(["rare"]);
    expect(prune(always + 3, ["rare goad", "Rare!"]).vocabulary.slice(always)).toEqual(["the", "goad", "rare"]);
    expect(prune(always + 2, ["rare goad", "Rare!"], 2).vocabulary.slice(always)).toEqual(["the", "rare"]);
    expect(prune(1000, []).vocabulary).toHaveLength(vocabulary.length - 2);
  });

  it("leaves a text whose pieces are kept as it was, and splits others without making them unknown", () => {
    const pruned = prune(always + 1, ["dog"]);
    const whole = new WordPieceTokenizer({ vocabulary, contextLength: 16 });
    const part = new WordPieceTokenizer({ vocabulary: pruned.vocabulary, contextLength: 16 });
    const oldIds = (text: string) => Array.from(part.encode(text), (id) => pruned.keptIds[id]);
    expect(oldIds("a dog")).toEqual(Array.from(whole.encode("a dog")));
    expect(bertWords("goad dogs").flatMap((word) => part.encodeWord(word).map((id) => pruned.vocabulary[id]))).toEqual([
      ...["g", "##o", "##a", "##d"],
      ...["dog", "##s"],
    ]);
  });
});

describe("takeRows", () => {
  it("slices the embedding table by id", () => {
    const table = Float32Array.from([0, 1, 10, 11, 20, 21]);
    expect(Array.from(takeRows(table, 2, Int32Array.from([0, 2])))).toEqual([0, 1, 20, 21]);
  });
});
