import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type CocoScores, cocoAveragePrecision } from "../../src/metrics/detection/coco-average-precision.ts";
import { drawCocoCase } from "./coco-ap-cases.ts";

interface CocoApFixture {
  readonly tolerance: number;
  readonly cases: readonly (readonly [checksum: number, stats: readonly number[], perClass: readonly number[]])[];
}

const fixture = JSON.parse(readFileSync(new URL("../fixtures/coco-ap.json", import.meta.url), "utf8")) as CocoApFixture;

/** In the order of COCOeval.stats. */
const names = [
  ...(["ap", "ap50", "ap75", "apSmall", "apMedium", "apLarge"] as const),
  ...(["ar1", "ar10", "ar100", "arSmall", "arMedium", "arLarge"] as const),
] satisfies readonly (keyof CocoScores)[];

/** pycocotools writes −1 where nothing is defined. */
const orMinusOne = (value: number) => (Number.isNaN(value) ? -1 : value);

describe("COCO average precision against pycocotools", () => {
  it("agrees on all statistics and on each class, on 240 generated cases", () => {
    expect(fixture.cases.length).toBeGreaterThanOrEqual(200);
    let worst = 0;
    const seen = { crowd: 0, ignored: 0, noTruth: 0, noDetection: 0, overLimit: 0, ties: 0, scored: 0 };
    for (const [number, [checksum, stats, perClass]] of fixture.cases.entries()) {
      const { classes, truth, detected, checksum: drawn } = drawCocoCase(number);
      expect(drawn, `case ${number} is drawn as by the generator`).toBe(checksum);
      const result = cocoAveragePrecision(truth, detected, { classes });
      const ours = [...names.map((name) => result[name]), ...result.perClass.map(({ ap }) => ap)].map(orMinusOne);
      for (const [i, expected] of [...stats, ...perClass].entries()) {
        const difference = Math.abs(ours[i] - expected);
        expect(difference, `case ${number}, statistic ${i}: ${ours[i]} against ${expected}`).toBeLessThan(1e-6);
        if (difference > worst) worst = difference;
      }
      seen.crowd += Number(truth.some(({ crowd }) => Array.from(crowd ?? []).includes(1)));
      seen.ignored += Number(truth.some(({ ignored }) => Array.from(ignored ?? []).includes(1)));
      seen.noTruth += Number(truth.every(({ boxes }) => boxes.length === 0));
      seen.noDetection += Number(detected.every(({ boxes }) => boxes.length === 0));
      seen.overLimit += Number(result.perClass.some((_, own) => detected.some((d) => countOf(d.classes, own) > 100)));
      seen.ties += Number(detected.some(({ scores }) => new Set(Array.from(scores)).size < scores.length));
      seen.scored += Number(result.ap > 0.01 && result.ap < 0.99);
    }
    expect(worst).toBeLessThan(fixture.tolerance);
    // The cases are worth nothing if they do not hold what is hard.
    for (const [what, cases] of Object.entries(seen)) expect(cases, what).toBeGreaterThan(5);
    expect(seen.scored).toBeGreaterThan(80);
  });
});

function countOf(values: ArrayLike<number>, wanted: number): number {
  return Array.from(values).filter((value) => value === wanted).length;
}
