import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ClipTokenizer } from "./clip-bpe.ts";

interface Fixture {
  contextLength: number;
  merges: [rank: number, merge: string][];
  cases: { text: string; ids: number[] }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/clip-tokenizer.json", import.meta.url), "utf8"),
);
const mergesText = `#version: 0.2\n${fixture.merges.map(([, merge]) => merge).join("\n")}\n`;
const small = new ClipTokenizer({ mergesText, mergeCount: fixture.merges.length });
const fullMerges = new URL("../../../weights/clip-merges.txt.gz", import.meta.url);

/** The id the whole vocabulary has for an id of the fixture's few merges. */
function fullId(id: number): number {
  if (id < 512) return id;
  return id - 512 < fixture.merges.length
    ? 512 + (fixture.merges[id - 512] as [number, string])[0]
    : id - small.startId + 49_406;
}

/** A readable list of the texts whose ids differ from the reference's. */
function mismatches(encode: (text: string) => number[]): unknown[] {
  return fixture.cases
    .map(({ text, ids }) => ({ text, ids: ids.join(" "), got: encode(text).join(" ") }))
    .filter(({ ids, got }) => ids !== got);
}

const anyText = fc.array(fc.nat(0x10ffff), { maxLength: 24 }).map((codePoints) => String.fromCodePoint(...codePoints));

describe("ClipTokenizer", () => {
  it("gives the ids of CLIP's own tokenizer", () => {
    expect(fixture.cases.length).toBeGreaterThan(150);
    expect(mismatches((text) => Array.from(small.encode(text), fullId))).toEqual([]);
  });

  it("wraps a text in start and end and cuts it to the context, the end kept", () => {
    expect(small.padId).toBe(0);
    expect(Array.from(small.encode(""))).toEqual([small.startId, small.endId]);
    const short = new ClipTokenizer({ mergesText, mergeCount: fixture.merges.length, contextLength: 5 });
    const cut = short.encode("a dog a dog a dog a dog");
    expect(cut).toHaveLength(5);
    expect(cut.at(-1)).toBe(short.endId);
    expect(cut.slice(0, 4)).toEqual(small.encode("a dog a dog").slice(0, 4));
  });

  it("takes any text and keeps every id inside the vocabulary", () => {
    void fc.assert(
      fc.property(anyText, (text) => {
        const ids = small.encode(text);
        expect(ids[0]).toBe(small.startId);
        expect(ids.at(-1)).toBe(small.endId);
        expect(ids.length).toBeLessThanOrEqual(small.contextLength);
        expect(ids.every((id) => id >= 0 && id < small.vocabularySize)).toBe(true);
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it("puts all that decides the ids into the fingerprint", () => {
    const shorter = new ClipTokenizer({ mergesText, mergeCount: fixture.merges.length, contextLength: 76 });
    const fewer = new ClipTokenizer({ mergesText, mergeCount: fixture.merges.length - 1 });
    expect(new Set([small, shorter, fewer].map((tokenizer) => tokenizer.fingerprintParts)).size).toBe(3);
  });

  it("names the line of a merges file that is short or broken", () => {
    expect(() => new ClipTokenizer({ mergesText })).toThrow(/line 1021 of the merges .* got ""\. Use/);
    expect(() => new ClipTokenizer({ mergesText: "#version\ni n\nin zz\n", mergeCount: 2 })).toThrow(
      'line 3 of the merges must join two known symbols, got "in zz"',
    );
    expect(() => new ClipTokenizer({ mergesText, contextLength: 1 })).toThrow("context length");
  });
});

describe("ClipTokenizer with CLIP's whole merges file", () => {
  it("has 49,408 ids and gives the reference's", () => {
    const full = new ClipTokenizer({ mergesText: gunzipSync(readFileSync(fullMerges)).toString("utf8") });
    expect([full.startId, full.endId, full.vocabularySize]).toEqual([49_406, 49_407, 49_408]);
    expect(Array.from(full.encode("a diagram"))).toEqual([49_406, 320, 22_697, 49_407]);
    expect(mismatches((text) => Array.from(full.encode(text)))).toEqual([]);
  });
});
