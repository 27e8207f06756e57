import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { areaUnderRoc, areaUnderRocWithInterval, rocCurve } from "./roc.ts";

const examples = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.nat(1)), { minLength: 4, maxLength: 30 })
  .filter((rows) => new Set(rows.map(([, truth]) => truth)).size === 2);

const pairScore = (a: number, b: number): number => (a > b ? 1 : a === b ? 0.5 : 0);

describe("rocCurve by hand", () => {
  it("has a point for every distinct score", () => {
    const { thresholds, truePositiveRate, falsePositiveRate } = rocCurve([0.9, 0.8, 0.8, 0.1], [1, 1, 0, 0]);
    expect([...thresholds]).toEqual([Number.POSITIVE_INFINITY, 0.9, 0.8, 0.1]);
    expect([...truePositiveRate]).toEqual([0, 0.5, 1, 1]);
    expect([...falsePositiveRate]).toEqual([0, 0, 0.5, 1]);
    expect(areaUnderRoc([0.9, 0.8, 0.8, 0.1], [1, 1, 0, 0])).toBe(3.5 / 4);
  });

  it("gives chance to a constant, nothing to NaN, and refuses one class alone", () => {
    expect(areaUnderRoc([1, 1, 1], [1, 0, 0])).toBe(0.5);
    expect(areaUnderRoc([Number.NaN, Number.NaN, Number.NaN], [1, 0, 0])).toBe(0);
    expect(() => rocCurve([1, 2], [1, 1])).toThrow("needs a positive and a negative, got 2 and 0");
    expect(() => areaUnderRoc([1, 2], [1])).toThrow(ShapeError);
  });
});

describe("areaUnderRoc", () => {
  it("is the share of pairs in the right order, and the area under the curve", () => {
    fc.assert(
      fc.property(examples, (rows) => {
        const scores = rows.map(([score]) => score);
        const truth = rows.map(([, positive]) => positive);
        const pairs = rows.flatMap(([a, x]) => rows.filter(([, y]) => x && !y).map(([b]) => pairScore(a, b)));
        const area = areaUnderRoc(scores, truth);
        expect(area).toBeCloseTo(pairs.reduce((a, b) => a + b) / pairs.length, 12);
        const { truePositiveRate: y, falsePositiveRate: x } = rocCurve(scores, truth);
        let trapezoids = 0;
        for (let i = 1; i < x.length; i++) trapezoids += ((x[i] - x[i - 1]) * (y[i] + y[i - 1])) / 2;
        expect(trapezoids).toBeCloseTo(area, 12);
      }),
    );
  });

  it("has DeLong's interval: the components written out pair by pair", () => {
    const positives = [0.9, 0.7, 0.6, 0.55, 0.3];
    const negatives = [0.8, 0.5, 0.4, 0.2];
    const v10 = positives.map((a) => negatives.reduce((sum, b) => sum + pairScore(a, b), 0) / negatives.length);
    const v01 = negatives.map((b) => positives.reduce((sum, a) => sum + pairScore(a, b), 0) / positives.length);
    const expected = v10.reduce((a, b) => a + b) / positives.length;
    const spread = (values: number[]) =>
      values.reduce((sum, value) => sum + (value - expected) ** 2, 0) / (values.length - 1) / values.length;
    const half = 1.959963984540054 * Math.sqrt(spread(v10) + spread(v01));
    const truth = [...positives.map(() => 1), ...negatives.map(() => 0)];
    const { area, interval } = areaUnderRocWithInterval([...positives, ...negatives], truth);
    expect(area).toBeCloseTo(expected, 12);
    expect(interval[0]).toBeCloseTo(expected - half, 12);
    expect(interval[1]).toBe(Math.min(1, expected + half));
  });
});
