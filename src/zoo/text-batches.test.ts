import { describe, expect, it } from "vitest";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { embedTokenized } from "./text-batches.ts";

/** A token a letter; the id is the letter's code. */
const tokenizer: Tokenizer = {
  contextLength: 22,
  padId: 0,
  vocabularySize: 128,
  fingerprintParts: "letters",
  encode: (text) => Int32Array.from(text.slice(0, 22), (letter) => letter.charCodeAt(0)),
};

/** Embeds as [number of tokens, sum of ids]; both are wrong where padding is taken for a token. */
async function embed(texts: readonly string[], isOpen = true, signal = new AbortController().signal) {
  const runs: { rows: number; length: number }[] = [];
  const run = async (ids: Int32Array, mask: Float32Array, rows: number) => {
    const length = ids.length / rows;
    runs.push({ rows, length });
    const found = new Float32Array(rows * 2);
    for (let i = 0; i < ids.length; i++) {
      found[2 * Math.floor(i / length)] += mask[i];
      found[2 * Math.floor(i / length) + 1] += ids[i];
    }
    return found;
  };
  return { found: await embedTokenized(texts, { tokenizer, isOpen, width: 2, run, signal }), runs };
}

describe("embedTokenized", () => {
  const texts = Array.from({ length: 300 }, (_, i) => "abcdefghijklmnopqrstuvwxyz".slice(0, 1 + ((i * 7) % 25)));
  const expected = texts.flatMap((text) => {
    const ids = [...tokenizer.encode(text)];
    return [ids.length, ids.reduce((sum, id) => sum + id, 0)];
  });

  it("gives each text its own result, in the order given, long texts cut", async () => {
    const { found } = await embed(texts);
    expect([...found]).toEqual(expected);
  });

  it("pads to few lengths, near a text's own, and fills runs to 1,024 tokens at most", async () => {
    const { runs } = await embed(texts);
    expect(runs.every(({ rows, length }) => rows * length <= 1024)).toBe(true);
    expect(runs.every(({ length }) => length % 4 === 0 || length === 22)).toBe(true);
    expect(runs.length).toBeLessThan(8);
    const computed = runs.reduce((sum, { rows, length }) => sum + rows * length, 0);
    const needed = expected.reduce((sum, value, i) => sum + (i % 2 === 0 ? value : 0), 0);
    expect(computed / needed).toBeLessThan(1.35);
  });

  it("fills all texts up to the context where the tower takes no other length", async () => {
    const { found, runs } = await embed(texts, false);
    expect([...found]).toEqual(expected);
    expect(new Set(runs.map(({ length }) => length))).toEqual(new Set([22]));
  });

  it("stops between runs when it is aborted", async () => {
    await expect(embed(texts, true, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    expect((await embed([])).found).toHaveLength(0);
  });
});
