import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Sgd } from "./sgd.ts";

const parameters = () =>
  new Map([
    ["a", { shape: [2], data: Float32Array.of(1, -2) }],
    ["head", { shape: [1], data: Float32Array.of(5) }],
  ]);
const gradients = new Map([
  ["a", Float32Array.of(0.5, 1)],
  ["head", Float32Array.of(-1)],
]);
const groupOf = (name: string) =>
  name === "head" ? { momentum: 0.5, rateScale: 10 } : { momentum: 0.9, rateScale: 1 };

describe("Sgd", () => {
  it("adds up velocities, by group; worked by hand", () => {
    const weights = parameters();
    const sgd = new Sgd(weights, groupOf);
    for (let i = 0; i < 2; i++) sgd.step(gradients, 0.1);
    // v: g, then (1 + m)·g. a: 1 − 0.1·(0.5 + 0.95); head: 5 + 1·(1 + 1.5)
    expect(weights.get("a")?.data[0]).toBeCloseTo(1 - 0.1 * 1.45, 6);
    expect(weights.get("a")?.data[1]).toBeCloseTo(-2 - 0.1 * 2.9, 6);
    expect(weights.get("head")?.data[0]).toBeCloseTo(7.5, 6);
    expect(sgd.steps).toBe(2);
  });

  it("restored, goes on as it would have", () => {
    const [whole, resumed] = [parameters(), parameters()];
    const first = new Sgd(whole, groupOf);
    first.step(gradients, 0.1);
    const second = new Sgd(resumed, groupOf);
    second.restore(first.state(), first.steps);
    for (const [name, { data }] of whole) resumed.get(name)?.data.set(data);
    first.step(gradients, 0.1);
    second.step(gradients, 0.1);
    expect(resumed).toEqual(whole);
  });

  it("leaves all as it is for a gradient that is not finite, and refuses one of another size", () => {
    const weights = parameters();
    const sgd = new Sgd(weights, groupOf);
    const bad = new Map([...gradients, ["head", Float32Array.of(Number.NaN)] as const]);
    expect(sgd.step(bad, 0.1).applied).toBe(false);
    expect(weights).toEqual(parameters());
    expect(() => sgd.step(new Map([["a", new Float32Array(2)]]), 0.1)).toThrow(ShapeError);
  });
});
