import { describe, expect, it } from "vitest";
import { exposureCharts, fallsOf } from "./exposure-curves.ts";
import type { LedgerEntry } from "./ledger-entry.ts";
import { groupBySeeds, summarizeSeeds } from "./seed-summary.ts";

function entry(
  task: string,
  shots: number | string | undefined,
  seed: number | null,
  score: number,
  more = {},
): LedgerEntry {
  return {
    task,
    metric: "top-1",
    score,
    interval: [score - 0.02, score + 0.02],
    chance: 0.1,
    n: 100,
    failed: 0,
    model: { name: "m", fingerprint: "0123456789abcdef" },
    data: { name: "d", fingerprint: "fedcba9876543210", split: "test" },
    protocol: { ...(shots !== undefined && { shots }), ...more },
    seed,
    metrics: {},
    version: "0.1.0",
    seconds: 1,
    date: "2026-01-02T03:04:05.000Z",
  };
}

describe("summarizeSeeds", () => {
  it("joins Student's interval over seeds with that of the test images", () => {
    const { score, interval } = summarizeSeeds([0.4, 0.5, 0.6].map((value, i) => entry("probe", 1, i, value)));
    expect(score).toBeCloseTo(0.5, 12);
    const overSeeds = (4.303 * 0.1) / Math.sqrt(3); // sample deviation 0.1, two degrees of freedom
    expect(interval[1] - score).toBeCloseTo(Math.hypot(overSeeds, 0.02), 9);
  });

  it("leaves a single score as it is, and stays within 0 and 1", () => {
    const single = entry("probe", 1, 0, 0.4);
    expect(summarizeSeeds([single]).interval).toEqual(single.interval);
    expect(summarizeSeeds([entry("p", 1, 0, 0.5), entry("p", 1, 1, 0.9)]).interval).toEqual([0, 1]);
  });

  it("groups what differs by seed alone, whatever the order of fields", () => {
    const groups = groupBySeeds([
      entry("probe", 1, 3, 0.4, { a: 1, b: 2 }),
      entry("probe", 5, 3, 0.5, { a: 1, b: 2 }),
      entry("probe", 1, 30, 0.6, { b: 2, a: 1 }),
    ]);
    expect(groups.map(({ entries }) => entries.map(({ seed }) => seed))).toEqual([[3, 30], [3]]);
  });
});

describe("exposureCharts", () => {
  it("has a line a method, in rising exposure, zero-shot first", () => {
    const [chart, ...rest] = exposureCharts([
      entry("probe", "full", null, 0.8),
      entry("probe", 10, 3, 0.7),
      entry("probe", 1, 3, 0.5),
      entry("fine-tune", 1, 3, 0.55, { method: "head" }),
      entry("zero-shot", undefined, null, 0.4),
      entry("retrieval", undefined, null, 0.1),
      entry("few-shot", 5, 10, 0.9, { ways: 5 }),
    ]);
    expect(rest).toEqual([]);
    expect(chart.lines.map(({ method, points }) => [method, points.map(({ exposure }) => exposure)])).toEqual([
      ["zero-shot", [0]],
      ["probe", [1, 10, "full"]],
      ["fine-tune, head", [1]],
    ]);
  });

  it("draws nothing of one exposure, and never mixes models, data, splits or metrics", () => {
    const zeroShot = entry("zero-shot", undefined, null, 0.4);
    expect(exposureCharts([zeroShot])).toEqual([]);
    const probe = entry("probe", 1, 3, 0.5);
    for (const other of [
      { ...probe, model: { name: "m", fingerprint: "ffffffff" } },
      { ...probe, data: { ...probe.data, split: "val" } },
      { ...probe, metric: "mean-per-class" },
    ]) {
      expect(exposureCharts([zeroShot, other])).toEqual([]);
    }
  });

  it("finds falls, from zero-shot on, and tells clear ones", () => {
    const [chart] = exposureCharts([
      entry("zero-shot", undefined, null, 0.4),
      entry("probe", 1, 3, 0.3),
      entry("probe", 5, 3, 0.5),
      entry("probe", 10, 3, 0.49),
    ]);
    expect(fallsOf(chart).map(({ from, to, isClear }) => [from.exposure, to.exposure, isClear])).toEqual([
      [0, 1, true],
      [5, 10, false],
    ]);
  });
});
