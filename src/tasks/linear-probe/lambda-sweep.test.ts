import { describe, expect, it } from "vitest";
import { lambdaAt, sweepLambda } from "./lambda-sweep.ts";

/** A search that scores by the distance to `best` in decades. */
async function sweepTowards(best: number) {
  const asked: number[] = [];
  const result = await sweepLambda(async (lambda) => {
    asked.push(Math.log10(lambda));
    return -Math.abs(Math.log10(lambda) - best);
  });
  return { ...result, asked };
}

describe("sweepLambda", () => {
  it("begins with every second decade, then halves around the best", async () => {
    const { asked, lambda, tried } = await sweepTowards(0.6);
    expect(asked.slice(0, 7).map((exponent) => Math.round(exponent))).toEqual([6, 4, 2, 0, -2, -4, -6]);
    expect(asked.slice(7).map((exponent) => +exponent.toFixed(3))).toEqual([1, -1, 1.5, 0.5, 0.75, 0.25, 0.625, 0.375]);
    expect(Math.log10(lambda)).toBeCloseTo(0.625, 9);
    expect(tried.map((point) => point.lambda)).toEqual(tried.map((point) => point.lambda).sort((a, b) => a - b));
  });

  it.each([-6, -4.375, -0.875, 3.25, 6])("finds 10^%d, as trying all 97 would", async (best) => {
    const { lambda, tried } = await sweepTowards(best);
    expect(Math.log10(lambda)).toBeCloseTo(best, 9);
    expect(tried.length).toBeLessThan(17);
    expect(Math.min(...tried.map((point) => point.lambda))).toBeGreaterThanOrEqual(1e-6);
    expect(Math.max(...tried.map((point) => point.lambda))).toBeLessThanOrEqual(lambdaAt(96));
  });

  it("keeps the larger of two that score the same", async () => {
    const { lambda, score } = await sweepLambda(async (value) => (value <= 10 ? 1 : 0));
    expect(lambda).toBeCloseTo(10, 9);
    expect(score).toBe(1);
  });

  it("goes on where an earlier one stopped", async () => {
    const { tried } = await sweepTowards(2.25);
    const asked: number[] = [];
    const again = await sweepLambda(async (lambda) => {
      asked.push(lambda);
      return -Math.abs(Math.log10(lambda) - 2.25);
    }, tried.slice(2));
    expect(asked).toHaveLength(2);
    expect(again.lambda).toBeCloseTo(10 ** 2.25, 6);
  });

  it("refuses a score that is not a number", async () => {
    await expect(sweepLambda(async () => Number.NaN)).rejects.toThrow("must be a number, got NaN");
  });
});
