import { describe, expect, it } from "vitest";
import { initialWeights, requireWeights } from "../nn/module.ts";
import { CoSwin, type CoSwinConfig } from "./image-encoder/coswin.ts";
import { coSwinPresets } from "./image-encoder/coswin-presets.ts";
import { resizePositionBias } from "./image-encoder/position-bias.ts";
import { resizeWeights } from "./resize-weights.ts";

const small: CoSwinConfig = { ...coSwinPresets.T, imageSize: 56, width: 8, depths: [2, 1], headWidth: 4, window: 7 };
const source = new CoSwin(small);
const weights = initialWeights(source, 1);

describe("resizeWeights", () => {
  it("interpolates position-bias tables and takes all else over", () => {
    const target = new CoSwin({ ...small, imageSize: 96, window: 12 });
    const resized = resizeWeights(target, weights);
    requireWeights(target, resized);
    for (const [name, data] of resized) {
      const before = weights.get(name) as Float32Array;
      expect(data, name).toEqual(name.endsWith("positionBias") ? resizePositionBias(before, 7, 12) : before);
      expect(data).not.toBe(before);
    }
  });

  it("takes everything over where no window changes", () => {
    // A larger picture with windows of the same size has more windows only.
    expect(resizeWeights(new CoSwin({ ...small, imageSize: 112 }), weights)).toEqual(weights);
  });

  it("names any other difference", () => {
    expect(() => resizeWeights(new CoSwin({ ...small, mlpRatio: 2 }), weights)).toThrow(
      "resizeWeights: stages.0.blocks.0.mlp.fc1.weight must hold 128 values, got 256",
    );
    expect(() => resizeWeights(new CoSwin({ ...small, depths: [2, 2] }), weights)).toThrow(
      "resizeWeights: stages.1.blocks.1.norm1.weight is missing",
    );
    expect(() => resizeWeights(new CoSwin({ ...small, depths: [1, 1] }), weights)).toThrow(
      "resizeWeights: the model has no parameter stages.0.blocks.1.norm1.weight",
    );
  });
});
