import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { curveOf, type LossCurve, lossCurveSvg, niceTicks, smooth, writeLossCurve } from "./loss-curve.ts";
import type { MetricsRecord } from "./metrics-log.ts";

const steps = Array.from({ length: 5000 }, (_, i) => i + 1);
const curve: LossCurve = {
  title: "nano <32 px> & friends",
  loss: steps.map((step) => ({ step, value: 5 / Math.sqrt(step) + 0.3 * Math.sin(step * 12.9898) })),
  scores: { "zero-shot": [1000, 3000, 5000].map((step) => ({ step, value: step / 20000 })) },
  learningRate: steps.map((step) => ({ step, value: 1e-3 * Math.cos(step / 3200) })),
};

describe("lossCurveSvg", () => {
  it("is a small document of finite numbers with the title escaped", () => {
    const svg = lossCurveSvg(curve);
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg).toContain("nano &lt;32 px&gt; &amp; friends");
    expect(svg).not.toMatch(/NaN|Infinity|undefined|href/);
    expect(svg.length).toBeLessThan(100_000);
    for (const heading of ["Loss (", "Validation", "Learning rate", "zero-shot (last 0.25)"])
      expect(svg).toContain(heading);
  });

  it("survives runs of no point, one point and equal points", () => {
    for (const loss of [
      [],
      [{ step: 1, value: 2 }],
      [
        { step: 1, value: 2 },
        { step: 2, value: 2 },
      ],
    ]) {
      expect(lossCurveSvg({ title: "short", loss })).not.toMatch(/NaN|Infinity|undefined/);
    }
  });
});

describe("writeLossCurve", () => {
  it("writes SVG and PNG", async () => {
    const folder = await mkdtemp(join(tmpdir(), "florence-curve-"));
    try {
      await writeLossCurve(folder, "loss", curve);
      const svg = await readFile(join(folder, "loss.svg"), "utf8");
      expect(svg).toBe(lossCurveSvg(curve));
      const { format, width, height } = await sharp(join(folder, "loss.png")).metadata();
      expect([format, width]).toEqual(["png", 1760]);
      expect(height).toBe(2 * Number(/height="(\d+)"/.exec(svg)?.[1]));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("curveOf", () => {
  it("picks one metric and leaves out what is no finite number", () => {
    const records: MetricsRecord[] = [
      { step: 1, loss: 3 },
      { step: 1, score: 0.5 },
      { step: 2, loss: Number.NaN },
      { step: 3, loss: 2 },
    ];
    expect(curveOf(records, "loss")).toEqual([
      { step: 1, value: 3 },
      { step: 3, value: 2 },
    ]);
  });
});

describe("smooth", () => {
  it("is a weighted mean of the past that starts at the first value", () => {
    const points = [4, 1, 1].map((value, step) => ({ step, value }));
    expect(smooth(points, 2).map(({ value }) => value)).toEqual([4, (0.5 * 4 + 1) / 1.5, (1 + 0.5 + 1) / 1.75]);
    expect(smooth(points, 1)).toEqual(points);
  });
});

describe("niceTicks", () => {
  it("gives round numbers in the range", () => {
    expect(niceTicks(0, 5000, 8)).toEqual([0, 1000, 2000, 3000, 4000, 5000]);
    expect(niceTicks(0.13, 0.97, 4)).toEqual([0.25, 0.5, 0.75]);
    expect(niceTicks(2, 2, 3)).toEqual([2, 3]);
  });
});
