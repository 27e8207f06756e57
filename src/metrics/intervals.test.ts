import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import {
  bootstrapInterval,
  chanceAtK,
  chanceAtKOfSeveral,
  meanWithInterval,
  quantile,
  wilsonInterval,
} from "./intervals.ts";

function expectInterval([low, high]: readonly [number, number], expected: [number, number], digits: number): void {
  expect(low).toBeCloseTo(expected[0], digits);
  expect(high).toBeCloseTo(expected[1], digits);
}

describe("wilsonInterval", () => {
  it("gives published values", () => {
    expectInterval(wilsonInterval(81, 263), [0.2553, 0.3662], 4); // Newcombe 1998, table I, method 3
    expectInterval(wilsonInterval(15, 148), [0.0624, 0.1605], 4);
    expectInterval(wilsonInterval(0, 20), [0, 0.1611], 4);
    expectInterval(wilsonInterval(1, 29), [0.0061, 0.1718], 4);
  });

  it("stays inside [0, 1], holds the share, and mirrors", () => {
    expect(wilsonInterval(0, 7)[0]).toBe(0);
    expect(wilsonInterval(7, 7)[1]).toBe(1);
    const [low, high] = wilsonInterval(3, 10);
    expectInterval(wilsonInterval(7, 10), [1 - high, 1 - low], 12);
    expect(() => wilsonInterval(3, 2)).toThrow("got 3 of 2");
  });
});

describe("meanWithInterval", () => {
  it("is the mean and 1.96 standard errors", () => {
    const { mean, interval } = meanWithInterval([1, 2, 3, 4]);
    expect(mean).toBe(2.5);
    expectInterval(interval, [2.5 - (1.96 * Math.sqrt(1.25)) / 2, 2.5 + (1.96 * Math.sqrt(1.25)) / 2], 4);
  });
});

describe("chance levels", () => {
  it("count the ways to be right", () => {
    expect(chanceAtK(5, 200)).toBe(0.025);
    expect(chanceAtK(9, 4)).toBe(1);
    expect(chanceAtKOfSeveral(3, 10, 1)).toBeCloseTo(0.3, 12);
    expect(chanceAtKOfSeveral(2, 5, 2)).toBeCloseTo(1 - 3 / 10, 12); // C(3,2)/C(5,2) = 3/10 miss both
    expect(chanceAtKOfSeveral(4, 5, 2)).toBe(1);
  });
});

describe("bootstrapInterval", () => {
  const rng = new Rng(3);
  const values = Float64Array.from({ length: 400 }, () => rng.normal(5, 2));
  const mean = (rows: Uint32Array) => rows.reduce((sum, row) => sum + values[row], 0) / rows.length;

  it("agrees with the normal interval of a mean", () => {
    const { interval } = meanWithInterval(values);
    const [low, high] = bootstrapInterval(values.length, mean, { rounds: 2000 });
    expect(Math.abs(low - interval[0])).toBeLessThan(0.03);
    expect(Math.abs(high - interval[1])).toBeLessThan(0.03);
  });

  it("holds the truth about as often as it says", () => {
    let held = 0;
    for (let trial = 0; trial < 200; trial++) {
      const sample = Float64Array.from({ length: 50 }, () => rng.normal());
      const meanOf = (rows: Uint32Array) => rows.reduce((sum, row) => sum + sample[row], 0) / rows.length;
      const [low, high] = bootstrapInterval(50, meanOf, { rounds: 200, seed: trial });
      if (low <= 0 && high >= 0) held++;
    }
    expect(held).toBeGreaterThan(175);
    expect(held).toBeLessThan(200);
  });

  it("is the same for the same seed, and leaves undefined rounds out", () => {
    const options = { rounds: 50, seed: 9 };
    expect(bootstrapInterval(400, mean, options)).toEqual(bootstrapInterval(400, mean, options));
    expect(bootstrapInterval(2, (rows) => (rows[0] === rows[1] ? Number.NaN : 1))).toEqual([1, 1]);
    expect(bootstrapInterval(2, () => Number.NaN)).toEqual([Number.NaN, Number.NaN]);
    expect(() => bootstrapInterval(0, mean)).toThrow("got 0 examples");
  });

  it("reads quantiles as numpy does", () => {
    expect(quantile([1, 2, 4, 8], 0.5)).toBe(3);
    expect(quantile([1, 2, 4, 8], 0.1)).toBeCloseTo(1.3, 12); // numpy.quantile([1, 2, 4, 8], 0.1)
    expect(quantile([7], 0.9)).toBe(7);
  });
});
