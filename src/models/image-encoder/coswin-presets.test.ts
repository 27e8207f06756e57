import { describe, expect, it } from "vitest";
import { countParameters } from "../../nn/module.ts";
import { CoSwin } from "./coswin.ts";
import { coSwinPresets, plainSwin } from "./coswin-presets.ts";

describe("parameter counts", () => {
  // H: the 637 M of the Florence paper, which states no other number of it.
  it.each([
    ["T", 29_462_874],
    ["S", 50_780_778],
    ["B", 90_194_744],
    ["L", 202_753_236],
    ["H", 637_521_712],
  ] as const)("CoSwin-%s", (name, count) => {
    expect(countParameters(new CoSwin(coSwinPresets[name]))).toBe(count);
  });

  // As published with a classifier of 1,000 classes.
  it.each([
    ["T", 28_288_354],
    ["S", 49_606_258],
    ["B", 87_768_224],
    ["L", 196_532_476],
  ] as const)("Swin-%s", (name, count) => {
    const swin = new CoSwin(plainSwin(coSwinPresets[name]));
    expect(countParameters(swin) + 1000 * swin.features + 1000).toBe(count);
  });

  it("plain Swin-T without the classifier", () => {
    expect(countParameters(new CoSwin(plainSwin(coSwinPresets.T)))).toBe(27_519_354);
  });
});

describe("presets", () => {
  it.each(Object.entries(coSwinPresets))("%s has whole heads and a drop rate for each branch", (_, config) => {
    const encoder = new CoSwin(config);
    const blocks = config.depths.reduce((sum: number, depth) => sum + depth, 0);
    expect(config.width % config.headWidth).toBe(0);
    expect(encoder.dropRates).toHaveLength(2 * blocks);
    expect(encoder.dropRates.at(-1)).toBeCloseTo(config.dropPath, 12);
    expect(encoder.features).toBe(config.width * 2 ** (config.depths.length - 1));
  });
});
