import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeBatch } from "./tokenizer.ts";
import { bertWords, parseVocabulary, WordPieceTokenizer } from "./wordpiece.ts";

interface Fixture {
  contextLength: number;
  pieces: [id: number, piece: string][];
  cases: { text: string; ids: number[] }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/minilm-wordpiece.json", import.meta.url), "utf8"),
);
const tokenizer = new WordPieceTokenizer({
  vocabulary: fixture.pieces.map(([, piece]) => piece),
  contextLength: fixture.contextLength,
});

const vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "##s", "##gy", "."];

const anyText = fc.array(fc.nat(0x10ffff), { maxLength: 24 }).map((codePoints) => String.fromCodePoint(...codePoints));

describe("WordPieceTokenizer", () => {
  it("gives the ids of Hugging Face's tokenizer", () => {
    expect(fixture.cases.length).toBeGreaterThan(150);
    const differing = fixture.cases
      .map(({ text, ids }) => ({
        text,
        ids: ids.join(" "),
        got: Array.from(tokenizer.encode(text), (id) => (fixture.pieces[id] as [number, string])[0]).join(" "),
      }))
      .filter(({ ids, got }) => ids !== got);
    expect(differing).toEqual([]);
  });

  it("cuts a word greedily, and makes it unknown as a whole if a part is", () => {
    const small = new WordPieceTokenizer({ vocabulary, contextLength: 8 });
    expect(Array.from(small.encode("A doggys."))).toEqual([2, 4, 5, 7, 6, 8, 3]);
    expect(Array.from(small.encode("dogx"))).toEqual([2, 1, 3]);
    expect(Array.from(small.encode("[SEP]"))).toEqual([2, 1, 1, 1, 3]);
  });

  it("cuts to the context length, the last id kept", () => {
    const small = new WordPieceTokenizer({ vocabulary, contextLength: 4 });
    expect(Array.from(small.encode("dogs dogs dogs"))).toEqual([2, 5, 6, 3]);
    expect(Array.from(new WordPieceTokenizer({ vocabulary, contextLength: 2 }).encode("dogs"))).toEqual([2, 3]);
  });

  it("takes any text and keeps every id inside the vocabulary", () => {
    void fc.assert(
      fc.property(anyText, (text) => {
        const ids = tokenizer.encode(text);
        expect(ids.length).toBeLessThanOrEqual(tokenizer.contextLength);
        expect(ids.every((id) => id >= 0 && id < tokenizer.vocabularySize)).toBe(true);
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  it("refuses a vocabulary that lacks a special piece or repeats an entry", () => {
    expect(() => new WordPieceTokenizer({ vocabulary: ["[PAD]", "[UNK]", "a"], contextLength: 8 })).toThrow(
      "must hold [PAD], [UNK], [CLS], [SEP], got no [CLS] in 3 entries",
    );
    expect(() => new WordPieceTokenizer({ vocabulary: [...vocabulary, "dog"], contextLength: 8 })).toThrow(
      'got "dog" on lines 6 and 10',
    );
    expect(() => new WordPieceTokenizer({ vocabulary, contextLength: 1 })).toThrow("at least 2, got 1");
  });

  it("puts all that decides the ids into the fingerprint", () => {
    const parts = [
      new WordPieceTokenizer({ vocabulary, contextLength: 8 }),
      new WordPieceTokenizer({ vocabulary, contextLength: 9 }),
      new WordPieceTokenizer({ vocabulary: vocabulary.slice(0, -1), contextLength: 8 }),
    ].map(({ fingerprintParts }) => fingerprintParts);
    expect(new Set(parts).size).toBe(3);
  });
});

describe("bertWords", () => {
  it("strips accents, spaces Chinese characters, splits punctuation", () => {
    expect(bertWords("Café-au-lait,東京!")).toEqual(["cafe", "-", "au", "-", "lait", ",", "東", "京", "!"]);
    expect(bertWords("ΟΔΟΣ")).toEqual(["οδοσ"]);
    expect(bertWords("a\u0000b\ttab\u00a0c")).toEqual(["ab", "tab", "c"]);
  });
});

describe("parseVocabulary", () => {
  it("takes one entry a line, whatever the line ending", () => {
    expect(parseVocabulary("[PAD]\r\na\r\n\u2028\n")).toEqual(["[PAD]", "a", "\u2028"]);
  });
});

describe("encodeBatch", () => {
  it("pads to the longest text and masks the padding", () => {
    const small = new WordPieceTokenizer({ vocabulary, contextLength: 8 });
    const batch = encodeBatch(small, ["a dog", "", "dogs ."]);
    expect(batch.length).toBe(5);
    expect(Array.from(batch.ids)).toEqual([2, 4, 5, 3, 0, 2, 3, 0, 0, 0, 2, 5, 6, 8, 3]);
    expect(Array.from(batch.mask)).toEqual([1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(encodeBatch(small, [])).toMatchObject({ length: 0 });
  });
});
