import { describe, expect, it } from "vitest";
import { averageDecay, WeightAverage } from "./ema.ts";

const tensor = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });
const averageOf = (average: WeightAverage) => Array.from((average.state().get("w") as { data: Float32Array }).data);

describe("WeightAverage", () => {
  it("moves towards the weights by 1 − decay at each update", () => {
    const weights = new Map([["w", tensor(0, 8)]]);
    const average = new WeightAverage(weights, { decay: 0.75, warmup: false });
    weights.get("w")?.data.set([4, 0]);
    average.update();
    expect(averageOf(average)).toEqual([1, 6]);
    average.update();
    expect(averageOf(average)).toEqual([1.75, 4.5]);
    expect(average.updates).toBe(2);
  });

  it("starts with a short memory under warm-up", () => {
    expect(averageDecay(1, 0.999, true)).toBeCloseTo(2 / 11, 12);
    expect(averageDecay(80, 0.999, true)).toBeCloseTo(0.9, 12);
    expect(averageDecay(1e6, 0.999, true)).toBe(0.999);
    expect(averageDecay(1, 0.999, false)).toBe(0.999);
  });

  it("continues from a restored state", () => {
    const weights = new Map([["w", tensor(1, 2, 3)]]);
    const unbroken = new WeightAverage(weights);
    weights.get("w")?.data.set([5, 5, 5]);
    unbroken.update();
    const resumed = new WeightAverage(weights);
    resumed.restore(unbroken.state(), unbroken.updates);
    unbroken.update();
    resumed.update();
    expect(averageOf(resumed)).toEqual(averageOf(unbroken));
    expect(() => resumed.restore(new Map(), 1)).toThrow('got none named "w"');
  });
});
