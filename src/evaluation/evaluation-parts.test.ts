import { describe, expect, it } from "vitest";
import type { LabelledImage, LabelledSet, SplitName } from "../data/labelled/labelled-set.ts";
import { evaluationParts, imagesOfSplit, splitOrigin } from "./evaluation-parts.ts";

const images = (prefix: string, count: number): LabelledImage[] =>
  Array.from({ length: count }, (_, i) => ({
    key: `${prefix}${String(i).padStart(3, "0")}`,
    labels: [i % 2],
    texts: [],
  }));

function setOf(splits: Partial<Record<SplitName, LabelledImage[]>>): LabelledSet {
  return {
    name: "set",
    path: "set",
    format: "csv",
    classes: ["a", "b"],
    isMultiLabel: false,
    splits: new Map(Object.entries(splits) as [SplitName, LabelledImage[]][]),
    problems: [],
    fingerprint: "00",
    decode: () => Promise.reject(new Error("not decoded here")),
    close: async () => undefined,
  };
}

const keysOf = (part: readonly LabelledImage[]) => part.map(({ key }) => key);

describe("evaluationParts", () => {
  it("takes the set's own splits", () => {
    const own = { train: images("t", 6), val: images("v", 4), test: images("x", 4) };
    const parts = evaluationParts(setOf(own));
    expect(parts).toEqual({ ...own, testOrigin: "own", trainOrigin: "own train and val" });
  });

  it("carves test and validation out of one part, without overlap, losing none, the same when images are added", () => {
    const parts = evaluationParts(setOf({ train: images("t", 300) }));
    const all = [parts.train, parts.val, parts.test].flatMap(keysOf);
    expect(new Set(all).size).toBe(300);
    expect(all).toHaveLength(300);
    for (const part of [parts.val, parts.test]) {
      expect(part.length).toBeGreaterThan(40);
      expect(part.length).toBeLessThan(80);
    }
    const later = evaluationParts(setOf({ train: [...images("t", 300), ...images("u", 100)] }));
    expect(keysOf(later.test).filter((key) => key.startsWith("t"))).toEqual(keysOf(parts.test));
    expect(splitOrigin(parts, "test")).toBe("0.2 of train by hash");
  });

  it("tests on a validation split where there is no test split, and carves another validation part", () => {
    const parts = evaluationParts(setOf({ train: images("t", 100), val: images("v", 10) }));
    expect(keysOf(parts.test)).toEqual(keysOf(images("v", 10)));
    expect(parts.val.length + parts.train.length).toBe(100);
    expect(parts.val.length).toBeGreaterThan(5);
  });

  it("scores a set of test images alone", () => {
    const parts = evaluationParts(setOf({ test: images("x", 5) }));
    expect([parts.train.length, parts.val.length, parts.test.length]).toEqual([0, 0, 5]);
    expect(() => evaluationParts(setOf({}))).toThrow("must have images");
  });
});

describe("imagesOfSplit", () => {
  const set = setOf({ train: images("b", 5), test: images("a", 5) });
  const parts = evaluationParts(set);

  it("orders by key for first and last, whatever the splits", () => {
    expect(keysOf(imagesOfSplit(set, parts, "first:2"))).toEqual(["a000", "a001"]);
    expect(keysOf(imagesOfSplit(set, parts, "last:2"))).toEqual(["b003", "b004"]);
    expect(imagesOfSplit(set, parts, "all")).toHaveLength(10);
    expect(imagesOfSplit(set, parts, "last:99")).toHaveLength(10);
  });

  it.each(["last:0", "last:", "middle", "first:1.5"])("refuses %s", (split) => {
    expect(() => imagesOfSplit(set, parts, split)).toThrow(`got "${split}"`);
  });
});
