import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import {
  elevenPointAveragePrecision,
  elevenPointChance,
  elevenPointMeanAveragePrecision,
} from "./average-precision.ts";

describe("elevenPointAveragePrecision", () => {
  it("gives hand-worked values", () => {
    expect(elevenPointAveragePrecision([3, 2, 1], [1, 1, 0])).toBe(1);
    // + − + −: precision 1 up to recall 0.5 (6 points), 2/3 up to 1 (5 points)
    expect(elevenPointAveragePrecision([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])).toBeCloseTo((6 + (5 * 2) / 3) / 11, 12);
    expect(elevenPointAveragePrecision([0.1, 0.9], [1, 0])).toBe(0.5);
    // ten positives first at precision 1, but for a negative in third place: recall 0.2 is reached exactly
    const truth = [1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1];
    const scores = truth.map((_, place) => -place);
    expect(elevenPointAveragePrecision(scores, truth)).toBeCloseTo((3 + (8 * 10) / 11) / 11, 12);
  });

  it("leaves out difficult examples, and is undefined without positives", () => {
    expect(elevenPointAveragePrecision([3, 2, 1], [-1, 1, 0])).toBe(1);
    expect(elevenPointAveragePrecision([3, 2], [-1, 0])).toBeNaN();
  });

  it.each([
    ["constant", 0.5],
    ["NaN", Number.NaN],
  ])("gives chance to %s scores, in any order", (_name, value) => {
    expect(elevenPointAveragePrecision([value, value, value, value], [1, 0, 0, 0])).toBe(0.25);
    expect(elevenPointAveragePrecision([value, value, value, value], [0, 0, 1, 0])).toBe(0.25);
  });

  it("agrees with the definition", () => {
    const pairs = fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.nat(1)), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(pairs, (examples) => {
        const ranked = examples.toSorted(([a, x], [b, y]) => b - a || x - y).map(([, truth]) => truth);
        const total = ranked.filter(Boolean).length;
        fc.pre(total > 0);
        const points = ranked.map((_, i) => {
          const hits = ranked.slice(0, i + 1).filter(Boolean).length;
          return { recall: hits / total, precision: hits / (i + 1) };
        });
        const at = (recall: number) =>
          Math.max(0, ...points.filter((p) => p.recall >= recall - 1e-9).map((p) => p.precision));
        const expected = Array.from({ length: 11 }, (_, i) => at(i / 10)).reduce((a, b) => a + b) / 11;
        const scores = examples.map(([score]) => score);
        const truth = examples.map(([, positive]) => positive);
        expect(elevenPointAveragePrecision(scores, truth)).toBeCloseTo(expected, 12);
      }),
    );
  });
});

describe("elevenPointMeanAveragePrecision", () => {
  it("averages over the classes that have positives", () => {
    const scores = [0.9, 0.1, 0.5, 0.2, 0.9, 0.5];
    const truth = [1, 1, 0, 0, 0, 0];
    expect(elevenPointMeanAveragePrecision(scores, truth, 3)).toBeCloseTo((1 + 0.5) / 2, 12);
    expect(() => elevenPointMeanAveragePrecision(scores, truth, 4)).toThrow("must both be [N, 4]");
  });
});

describe("elevenPointChance", () => {
  it("is what random rankings get, more than the share of positives where they are few", () => {
    expect(elevenPointChance(100, 5)).toBeCloseTo(0.107, 2); // of 20,000 other rankings
    expect(elevenPointChance(100, 5)).toBe(elevenPointChance(100, 5));
    const mean = naiveChance(60, 12);
    expect(Math.abs(elevenPointChance(60, 12) - mean)).toBeLessThan(0.01);
    // The share of positives, but for recall 0, at which the precision of the first few places counts.
    expect(elevenPointChance(10_000, 5000)).toBeCloseTo((10 * 0.5 + 0.85) / 11, 2);
    expect(elevenPointChance(3, 3)).toBe(1);
    expect(elevenPointChance(3, 0)).toBeNaN();
  });

  function naiveChance(count: number, positives: number): number {
    const rng = new Rng("naive");
    const truth = Uint8Array.from({ length: count }, (_, i) => (i < positives ? 1 : 0));
    let sum = 0;
    for (let i = 0; i < 2000; i++) sum += elevenPointAveragePrecision(rng.permutation(count), truth);
    return sum / 2000;
  }
});
