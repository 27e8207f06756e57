import { describe, expect, it } from "vitest";
import { SubwordTokenizer } from "./subword-tokenizer.ts";

/** Every letter its place in the alphabet. */
const letters = {
  vocabularySize: 26,
  fingerprintParts: "letters",
  idOf: (piece: string) => piece.charCodeAt(0) - 97,
  idsOf: (text: string) => Array.from(text, (letter) => letter.charCodeAt(0) - 97),
};
const config = { pipeline: letters, contextLength: 5, prefix: [], suffix: [1], padId: 1 };

describe("SubwordTokenizer for a table of fewer rows than the vocabulary has pieces", () => {
  it("gives the ids that have a row, and refuses a text with another, naming the id", () => {
    const tokenizer = new SubwordTokenizer({ ...config, rows: 24 });
    expect(tokenizer.vocabularySize).toBe(24);
    expect(Array.from(tokenizer.encode("ax"))).toEqual([0, 23, 1, 1, 1]);
    expect(() => tokenizer.encode("ay")).toThrow(/Text "ay": its ids must be below the model's 24, got 24\./);
    expect(Array.from(tokenizer.encode("aaaay"))).toEqual([0, 0, 0, 0, 1]); // cut off before it counts
  });

  it("refuses special ids without a row", () => {
    expect(() => new SubwordTokenizer({ ...config, rows: 24, padId: 24 })).toThrow(
      "special ids must be below 24, got 24",
    );
  });
});
