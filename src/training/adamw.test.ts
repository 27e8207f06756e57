import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { AdamW } from "./adamw.ts";
import { updateAdamW } from "./adamw-kernel.ts";
import { exemptFromDecay, globalNorm } from "./optimizer.ts";

type Named = Record<string, number[]>;
interface Fixture {
  options: { beta1: number; beta2: number; epsilon: number; weightDecay: number; clipNorm: number };
  shapes: Named;
  initial: Named;
  steps: { learningRate: number; gradients: Named; gradientNorm: number }[];
  final: Named;
  firstMoments: Named;
  secondMoments: Named;
}

const fixture = JSON.parse(readFileSync(new URL("../../test/fixtures/adamw.json", import.meta.url), "utf8")) as Fixture;

const toArrays = (named: Named) =>
  new Map(Object.entries(named).map(([name, data]) => [name, Float32Array.from(data)]));
const toTensors = (named: Named) =>
  new Map([...toArrays(named)].map(([name, data]) => [name, { shape: fixture.shapes[name], data }]));

function largestDifference(actual: Float32Array, expected: number[]): number {
  expect(actual.length).toBe(expected.length);
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i])));
}

const uniform = (rng: Rng, length: number) => Float32Array.from({ length }, () => rng.uniform(-1, 1));

describe("AdamW", () => {
  it("agrees with torch.optim.AdamW over five clipped steps of two decay groups", () => {
    const parameters = toTensors(fixture.initial);
    const optimizer = new AdamW(parameters, fixture.options);
    for (const { gradients, learningRate, gradientNorm } of fixture.steps) {
      const report = optimizer.step(toArrays(gradients), learningRate);
      expect(report.applied).toBe(true);
      expect(report.gradientNorm / gradientNorm).toBeCloseTo(1, 5);
      expect(report.clipScale).toBeCloseTo(Math.min(1, fixture.options.clipNorm / gradientNorm), 5);
    }
    for (const [name, { data }] of parameters) {
      expect(largestDifference(data, fixture.final[name]), name).toBeLessThan(1e-6);
      const state = (kind: string) => (optimizer.state().get(`${kind}/${name}`) as { data: Float32Array }).data;
      expect(largestDifference(state("first_moment"), fixture.firstMoments[name])).toBeLessThan(1e-6);
      expect(largestDifference(state("second_moment"), fixture.secondMoments[name])).toBeLessThan(1e-6);
    }
  });

  it("continues bit for bit from a restored state", () => {
    const run = (from: number, parameters: ReturnType<typeof toTensors>, optimizer: AdamW, to: number) => {
      for (const { gradients, learningRate } of fixture.steps.slice(from, to)) {
        optimizer.step(toArrays(gradients), learningRate);
      }
      return parameters;
    };
    const first = toTensors(fixture.initial);
    const before = new AdamW(first, fixture.options);
    run(0, first, before, 2);
    const copy = new Map([...first].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
    const after = new AdamW(copy, fixture.options);
    after.restore(before.state(), before.steps);
    run(2, first, before, 5);
    run(2, copy, after, 5);
    expect(after.steps).toBe(5);
    expect(copy).toEqual(first);
  });

  it("leaves everything alone when a gradient is not finite", () => {
    const parameters = toTensors(fixture.initial);
    const optimizer = new AdamW(parameters, fixture.options);
    const gradients = toArrays(fixture.steps[0].gradients);
    (gradients.get("block.bias") as Float32Array)[3] = Number.NaN;
    expect(optimizer.step(gradients, 1e-3)).toMatchObject({ applied: false, clipScale: 0 });
    expect(optimizer.steps).toBe(0);
    expect(parameters).toEqual(toTensors(fixture.initial));
  });

  it("scales the learning rate per parameter, and with it the decay", () => {
    const parameters = toTensors(fixture.initial);
    const learningRateScale = (name: string) => (name.startsWith("block") ? 0 : 1);
    const optimizer = new AdamW(parameters, { ...fixture.options, learningRateScale });
    optimizer.step(toArrays(fixture.steps[0].gradients), 1e-3);
    const initial = toTensors(fixture.initial);
    expect(parameters.get("block.weight")).toEqual(initial.get("block.weight"));
    expect(parameters.get("token_embedding.weight")).not.toEqual(initial.get("token_embedding.weight"));
  });

  it("names a parameter without gradient, and a state that does not fit", () => {
    const optimizer = new AdamW(toTensors(fixture.initial), fixture.options);
    expect(() => optimizer.step(new Map(), 1e-3)).toThrow('"block.weight" needs a gradient of 35 values, got none');
    const state = new Map(optimizer.state());
    state.set("first_moment/block.bias", { shape: [6], data: new Float32Array(6) });
    expect(() => optimizer.restore(state, 3)).toThrow('"first_moment/block.bias" must have shape [7], got [6]');
    state.delete("first_moment/block.bias");
    expect(() => optimizer.restore(state, 3)).toThrow(UserError);
  });
});

describe("updateAdamW", () => {
  it("equals the formula at lengths around the lane and block sizes", () => {
    const scalars = { gradientScale: 0.5, beta1: 0.9, beta2: 0.99, weightScale: 0.999, stepSize: 0.01 };
    const [secondMomentScale, epsilon] = [1.25, 1e-8];
    for (const length of [1, 3, 4, 5, 4095, 4096, 4097, 9001]) {
      const rng = new Rng(length);
      const [weights, gradient, first] = [uniform(rng, length), uniform(rng, length), uniform(rng, length)];
      const second = uniform(rng, length).map(Math.abs);
      const gradientBefore = gradient.slice();
      const expected = { weights: weights.slice(), first: first.slice(), second: second.slice() };
      for (let i = 0; i < length; i++) {
        const g = 0.5 * gradient[i];
        expected.first[i] = 0.9 * first[i] + 0.1 * g;
        expected.second[i] = 0.99 * second[i] + 0.01 * g * g;
        const denominator = Math.sqrt(expected.second[i]) * secondMomentScale + epsilon;
        expected.weights[i] = 0.999 * weights[i] - (0.01 * expected.first[i]) / denominator;
      }
      updateAdamW(weights, gradient, first, second, { ...scalars, secondMomentScale, epsilon });
      expect(gradient).toEqual(gradientBefore);
      for (const [name, actual] of Object.entries({ weights, first, second })) {
        const wanted = expected[name as keyof typeof expected];
        expect(largestDifference(actual, Array.from(wanted)), `${name}, ${length}`).toBeLessThan(5e-7);
      }
    }
  });
});

describe("globalNorm", () => {
  it("is the Euclidean norm over all arrays, also of lengths that are no multiple of four", () => {
    expect(globalNorm([Float32Array.of(1, 2, 2), Float32Array.of(4), Float32Array.of()])).toBe(5);
    expect(globalNorm([new Float32Array(7).fill(2)])).toBeCloseTo(Math.sqrt(28), 12);
    expect(globalNorm([Float32Array.of(1, Number.POSITIVE_INFINITY)])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("exemptFromDecay", () => {
  it.each([
    ["image.blocks.0.norm.gamma", [64], true],
    ["logitScale", [], true],
    ["text.token_embedding.weight", [1000, 64], true],
    ["text.tokenEmbedding", [1000, 64], true],
    ["text.positionEmbedding", [77, 64], true],
    ["stages.0.blocks.0.attn.relative_position_bias_table", [169, 3], true],
    ["stages.0.blocks.1.attention.positionBias", [169, 3], true],
    ["vit.pos_embed", [1, 50, 64], true],
    ["image.stem.conv.weight", [64, 3, 7, 7], false],
    ["image.patchEmbedding.weight", [64, 3, 4, 4], false],
    ["text.projection", [64, 64], false],
  ])("%s %j: %s", (name, shape, exempt) => {
    expect(exemptFromDecay(name, shape)).toBe(exempt);
  });
});
