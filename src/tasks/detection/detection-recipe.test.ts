import { describe, expect, it } from "vitest";
import { tinyDetector } from "../../../test/support/tiny-detector.ts";
import { isHiddenInDetector } from "./detection-recipe.ts";

describe("isHiddenInDetector", () => {
  it("picks the matrices and kernels of hidden layers, and nothing of fewer axes", () => {
    const hidden = [...tinyDetector(32, { kind: "fixed", count: 2 }).learnable].filter(([name, { shape }]) =>
      isHiddenInDetector(name, shape),
    );
    expect(hidden.every(([, { shape }]) => shape.length >= 2)).toBe(true);
    expect(hidden.map(([name]) => name).sort()).toEqual(
      [
        ...["conv1", "conv2"].flatMap((kind) => [0, 1].map((i) => `imageEncoder.stages.${i}.blocks.0.${kind}.weight`)),
        ...[0, 1].map((i) => `imageEncoder.stages.${i}.downsample.proj.weight`),
        ...["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"].map((at) => `imageEncoder.stages.2.blocks.0.${at}.weight`),
        ...["laterals.0", "laterals.1", "outputs.0", "outputs.1"].map((at) => `pyramid.${at}.weight`),
        ...["own", "finer", "coarser"].map((at) => `dynamicHead.blocks.0.${at}.weight`),
        "pyramid.further.0.weight",
      ].sort(),
    );
  });
});
