import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { wilsonInterval } from "./intervals.ts";
import { groupedShareInterval, meanOfSharesInterval } from "./stratified-intervals.ts";

describe("groupedShareInterval", () => {
  it("is about Wilson's where every group is one trial", () => {
    const hits = Array.from({ length: 200 }, (_, i) => Number(i % 4 === 0));
    const [low, high] = groupedShareInterval(hits, new Array(200).fill(1));
    const [wilsonLow, wilsonHigh] = wilsonInterval(50, 200);
    expect(low).toBeCloseTo(wilsonLow, 2);
    expect(high).toBeCloseTo(wilsonHigh, 2);
  });

  it("is as wide as the groups are few, where trials of a group all agree", () => {
    const hits = Array.from({ length: 40 }, (_, i) => (i % 2) * 5);
    const [low, high] = groupedShareInterval(hits, new Array(40).fill(5));
    const [wilsonLow, wilsonHigh] = wilsonInterval(20, 40);
    expect(Math.abs(low - wilsonLow)).toBeLessThan(0.01);
    expect(Math.abs(high - wilsonHigh)).toBeLessThan(0.01);
    const [treatedAsApart] = wilsonInterval(100, 200);
    expect(low).toBeLessThan(treatedAsApart - 0.05);
  });

  it("covers the true share about 95 times of 100, unlike Wilson's over all trials", () => {
    const rng = new Rng("coverage");
    let [covered, coveredNaively] = [0, 0];
    const runs = 600;
    for (let run = 0; run < runs; run++) {
      // Each image draws its own chance, uniform in [0, 1): the true share is one half.
      const hits = Array.from({ length: 60 }, () => {
        const chance = rng.uniform();
        return Array.from({ length: 5 }, () => Number(rng.uniform() < chance)).reduce((a, b) => a + b, 0);
      });
      const [low, high] = groupedShareInterval(hits, new Array(60).fill(5));
      if (low <= 0.5 && high >= 0.5) covered++;
      const [naiveLow, naiveHigh] = wilsonInterval(
        hits.reduce((a, b) => a + b, 0),
        300,
      );
      if (naiveLow <= 0.5 && naiveHigh >= 0.5) coveredNaively++;
    }
    expect(covered / runs).toBeGreaterThan(0.92);
    expect(covered / runs).toBeLessThan(0.98);
    expect(coveredNaively / runs).toBeLessThan(0.88);
  });

  it("does not take a share of 0 or 1 for certain", () => {
    expect(groupedShareInterval([0, 0], [5, 5])).toEqual(wilsonInterval(0, 2));
    expect(groupedShareInterval([5, 5], [5, 5])).toEqual(wilsonInterval(2, 2));
  });
});

describe("meanOfSharesInterval", () => {
  it("is centred on the mean of the shares, empty strata left out", () => {
    const [low, high] = meanOfSharesInterval([30, 10, 0], [40, 40, 0]);
    expect((low + high) / 2).toBeCloseTo(0.5, 9);
    const variance = [31 / 42, 11 / 42].reduce((sum, p) => sum + (p * (1 - p)) / 42, 0);
    expect((high - low) / 2).toBeCloseTo((1.959963984540054 * Math.sqrt(variance)) / 2, 9);
  });

  it("stays within 0 and 1", () => {
    const [low, high] = meanOfSharesInterval([2, 2], [2, 2]);
    expect(high).toBe(1);
    expect(low).toBeLessThan(0.9);
  });
});
