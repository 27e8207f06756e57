import { describe, expect, it } from "vitest";
import { evaluate } from "../../test/support/evaluate.ts";
import { Rng } from "../core/rng.ts";
import { input } from "../graph/tensor.ts";
import { DropPath, drawDropPath, linearDropRates } from "./drop-path.ts";

describe("linearDropRates", () => {
  it("grows evenly from 0 to the maximum, both branches of a block alike", () => {
    const rates = linearDropRates(0.3, 4);
    expect(rates).toHaveLength(8);
    for (const [i, rate] of [0, 0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3].entries()) expect(rates[i]).toBeCloseTo(rate, 12);
  });

  it("is 0 for a single block, and without a maximum", () => {
    expect(linearDropRates(0.3, 1)).toEqual([0, 0]);
    expect(linearDropRates(0, 3)).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe("drawDropPath", () => {
  it("drops at the rate asked for and scales the rest, so that the mean stays", () => {
    const rates = [0, 0.1, 0.5];
    const batch = 20_000;
    const scales = drawDropPath(rates, batch, new Rng("drops"));
    for (const [i, rate] of rates.entries()) {
      const row = scales.subarray(i * batch, (i + 1) * batch);
      expect([...new Set(row)].sort()).toEqual(rate === 0 ? [1] : [0, Math.fround(1 / (1 - rate))]);
      const fourErrors = 4 * Math.sqrt((rate * (1 - rate)) / batch);
      expect(Math.abs(row.filter((scale) => scale === 0).length / batch - rate)).toBeLessThanOrEqual(fourErrors);
      const mean = row.reduce((sum, scale) => sum + scale, 0) / batch;
      expect(Math.abs(mean - 1)).toBeLessThanOrEqual(fourErrors / (1 - rate) + 1e-6);
    }
  });

  it("is the same for the same seed, and another for another", () => {
    const draw = (seed: number) => drawDropPath([0.5, 0.5], 32, new Rng(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

describe("DropPath", () => {
  it("scales each branch by image with its own row of draws", async () => {
    const dropPath = new DropPath([0, 0.5, 0.5], 2);
    const [x, branch] = [input("x", [2, 3]), input("branch", [2, 3])];
    const joins = dropPath.take(3);
    const outputs = Object.fromEntries(joins.map((join, i) => [`joined${i}`, join(x, branch)]));
    const found = await evaluate(outputs, {
      x: Float32Array.of(1, 2, 3, 4, 5, 6),
      branch: Float32Array.of(10, 10, 10, 100, 100, 100),
      dropPath: Float32Array.of(9, 9, 0, 2, 2, 0),
    });
    expect([...found.joined0]).toEqual([11, 12, 13, 104, 105, 106]); // a rate of 0 looks at no draw
    expect([...found.joined1]).toEqual([1, 2, 3, 204, 205, 206]);
    expect([...found.joined2]).toEqual([21, 22, 23, 4, 5, 6]);
  });

  it("gives blocks their branches in turn, the same however often and in whatever order they are built", async () => {
    const dropPath = new DropPath([0.5, 0.5, 0.5, 0.5], 1);
    const [zero, one] = [input("zero", [1]), input("one", [1])];
    const [first, second] = [dropPath.take(2), dropPath.take(2)];
    const outputs = {
      forward: first[0](zero, one),
      later: second[1](zero, one),
      again: first[0](zero, one),
      between: second[0](zero, one),
    };
    const found = await evaluate(outputs, {
      zero: Float32Array.of(0),
      one: Float32Array.of(1),
      dropPath: Float32Array.of(2, 3, 4, 5),
    });
    expect(Object.values(found).map(([value]) => value)).toEqual([2, 5, 2, 4]);
    expect(() => dropPath.take(1)).toThrow("DropPath: at most 4 branches may be taken, got 5");
  });
});
