import { expect, test } from "vitest";
import { deterministicFill, fillParameters } from "./deterministic-fill.ts";
import { readFixture, relativeError, summarizeGradient, summaryError } from "./read-fixture.ts";

interface Sample {
  name: string;
  count: number;
  mean: number;
  std: number;
}

test("the fill has the bits that Python computes, for plain, shifted, non-ASCII and large fills", async () => {
  const fixture = await readFixture("deterministic-fill");
  const samples = fixture.json<Sample[]>("samples");
  expect(samples.length).toBe(4);
  for (const { name, count, mean, std } of samples) {
    const expected = fixture.tensor(name).data;
    expect(deterministicFill(name, count, mean, std).slice(count - expected.length), name).toEqual(expected);
  }
});

test("the fill has the mean and standard deviation asked for", () => {
  const numbers = deterministicFill("some name", 100_000, 1, 0.1);
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length;
  expect(Math.abs(mean - 1)).toBeLessThan(0.001); // three standard errors
  expect(Math.abs(Math.sqrt(variance) - 0.1)).toBeLessThan(0.001);
});

test("parameters are filled in their shapes under their names", () => {
  const weights = fillParameters([{ name: "norm.weight", shape: [2, 3], mean: 1, std: 0.1 }]);
  expect(weights.get("norm.weight")).toEqual({ shape: [2, 3], data: deterministicFill("norm.weight", 6, 1, 0.1) });
});

test("the relative error is a norm over a norm", () => {
  expect(relativeError([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
  expect(relativeError([0, 0], [0, 0])).toBe(0);
  expect(() => relativeError([1], [1, 2])).toThrow("lengths must agree");
});

test("a summary's error is that of its worst part", () => {
  const gradient = [3, 0, 0, 0, 0, 0, 0, 0, 4];
  const reference = summarizeGradient(gradient);
  expect(reference).toEqual([5, 7, 3, 0, 0, 0, 0, 0, 0, 0]);
  expect(summaryError(gradient, reference)).toBe(0);
  expect(summaryError([0, 3, 0, 0, 0, 0, 0, 0, 4], reference)).toBeCloseTo(Math.sqrt(18) / (5 * Math.sqrt(8 / 9)), 12);
  expect(summaryError([3, 0, 0, 0, 0, 0, 0, 0, -4], reference)).toBeCloseTo(8 / 15, 12);
});
