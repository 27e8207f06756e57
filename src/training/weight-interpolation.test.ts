import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { bestMixture, gainShare, gainShareAmong, lossOf, type MixtureScore } from "./retention.ts";
import { interpolateWeights } from "./weight-interpolation.ts";

const shared = Float32Array.of(7);
const start = new Map([
  ["a", Float32Array.of(0.1, 1)],
  ["frozen", shared],
]);
const tuned = new Map([
  ["a", Float32Array.of(0.3, -1)],
  ["frozen", shared],
]);

describe("interpolateWeights", () => {
  it("gives the two models at its ends, to the bit, and a point between", () => {
    expect(interpolateWeights(start, tuned, 0).get("a")).toBe(start.get("a"));
    expect(interpolateWeights(start, tuned, 1).get("a")).toBe(tuned.get("a"));
    const [x, y] = interpolateWeights(start, tuned, 0.25).get("a") as Float32Array;
    expect(x).toBeCloseTo(0.15, 6);
    expect(y).toBeCloseTo(0.5, 6);
    expect(interpolateWeights(start, tuned, 0.25).get("frozen")).toBe(shared);
  });

  it("refuses models that differ in their tensors", () => {
    expect(() => interpolateWeights(start, new Map([["a", new Float32Array(2)]]), 0.5)).toThrow(ShapeError);
    expect(() => interpolateWeights(new Map([["a", new Float32Array(2)]]), tuned, 0.5)).toThrow(ShapeError);
    expect(() => interpolateWeights(start, new Map([...tuned, ["a", new Float32Array(3)]]), 0.5)).toThrow(ShapeError);
  });
});

function mixture(alpha: number, task: number, control?: number): MixtureScore {
  const score = (value: number) => ({ measure: "top-1", value, count: 100 }) as const;
  return { alpha, validation: score(task), control: control === undefined ? undefined : score(control) };
}

describe("gainShare", () => {
  it("is the part of what plain tuning gained, by hand", () => {
    const scores = [mixture(0, 0.4), mixture(0.5, 0.76), mixture(0.8, 0.82), mixture(1, 0.8)];
    expect(gainShareAmong(scores, scores[1])).toBeCloseTo(0.9, 12);
    expect(scores.map((score) => gainShareAmong(scores, score)?.toFixed(2))).toEqual(["0.00", "0.90", "1.05", "1.00"]);
    const [{ validation: before }, , , { validation: plain }] = scores;
    expect(gainShare(before, plain, before)).toBeUndefined(); // nothing was gained
    expect(gainShareAmong(scores.slice(1), scores[1])).toBeUndefined(); // nothing to compare with
  });
});

describe("bestMixture", () => {
  const scores = [mixture(0, 0.4, 0.3), mixture(0.3, 0.7, 0.29), mixture(0.6, 0.8, 0.25), mixture(1, 0.85, 0.1)];

  it.each([
    [0, 0],
    [0.02, 0.3],
    [0.06, 0.6],
    [Number.POSITIVE_INFINITY, 1],
  ])("a loss of up to %d allows α = %d", (bound, alpha) => {
    expect(bestMixture(scores, bound).alpha).toBe(alpha);
  });

  it("takes the original where tuning did not help, and of equals the nearest to it", () => {
    expect(bestMixture([mixture(0, 0.5), mixture(0.5, 0.4), mixture(1, 0.5)], 1).alpha).toBe(0);
    expect(bestMixture([mixture(0, 0.1), mixture(1, 0.5), mixture(0.5, 0.5)], 1).alpha).toBe(0.5);
  });

  it("counts a control score that rose as a negative loss", () => {
    expect(lossOf(mixture(0.2, 0.5, 0.34), scores[0])).toBeCloseTo(-0.04, 9);
    expect(lossOf(mixture(0.2, 0.5), scores[0])).toBe(0);
    expect(() => bestMixture([mixture(1, 0.5)], 1)).toThrow("α = 0");
  });
});
