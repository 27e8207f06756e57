import { describe, expect, it } from "vitest";
import type { LabelledImage, SplitName } from "./labelled-set.ts";
import { setParts } from "./set-parts.ts";
import { tuningParts } from "./tuning-parts.ts";

const images = (prefix: string, count: number): LabelledImage[] =>
  Array.from({ length: count }, (_, i) => ({ key: `${prefix}${i}`, labels: [i % 3], texts: [] }));
const setOf = (splits: Partial<Record<SplitName, LabelledImage[]>>) => ({
  name: "set",
  splits: new Map(Object.entries(splits) as [SplitName, LabelledImage[]][]),
});
const keysOf = (part: readonly LabelledImage[]) => part.map(({ key }) => key);

describe("tuningParts", () => {
  it.each([
    ["of one part", setOf({ train: images("t", 200) })],
    ["whose validation part is scored", setOf({ train: images("t", 200), val: images("v", 30) })],
  ])("never trains on, or chooses by, what is scored of a set %s", (_, set) => {
    const scored = new Set(keysOf(setParts(set).test));
    for (const seed of [0, 3]) {
      const { train, val, test, division } = tuningParts(set, seed);
      expect(division).toBe("as evaluated");
      expect([...train, ...val].some(({ key }) => scored.has(key))).toBe(false);
      expect(new Set(keysOf(test))).toEqual(scored);
      expect(val.length).toBeGreaterThan(20);
    }
  });

  it("leaves a test part of its own alone, and holds a tenth out where there is no validation part", () => {
    const whole = { train: images("t", 60), val: images("v", 10), test: images("x", 10) };
    expect(tuningParts(setOf(whole), 0)).toEqual({ ...whole, division: "own", heldOut: 0 });
    const set = setOf({ train: images("t", 200), test: images("x", 10) });
    const { train, val, test, heldOut } = tuningParts(set, 0);
    expect([train.length + val.length, test.length, heldOut]).toEqual([200, 10, 0.1]);
    expect(val.length).toBeLessThan(35);
    expect(keysOf(tuningParts(set, 1).val)).not.toEqual(keysOf(val));
  });
});
