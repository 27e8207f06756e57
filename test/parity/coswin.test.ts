import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/tensor.ts";
import { CoSwin } from "../../src/models/image-encoder/coswin.ts";
import { namedParameters } from "../../src/nn/module.ts";
import { encoderErrors, fixtureImages, worstGradient } from "./encoder-parity.ts";
import { readFixture } from "./read-fixture.ts";

interface ReferenceConfig {
  channels: number;
  depths: number[];
  heads: number[];
  window: number;
  imageSize: number;
  embedding: "convolution" | "patch";
}

/** The encoder that a fixture's reference is, seen through our configuration. */
function encoderOf({ channels, depths, heads, window, imageSize, embedding }: ReferenceConfig): CoSwin {
  return new CoSwin({
    kind: "coswin",
    imageSize,
    width: channels,
    depths,
    headWidth: channels / heads[0],
    window,
    mlpRatio: 4,
    activation: "gelu",
    embedding,
    stemKernel: 7,
    stemStride: 4,
    dropPath: 0,
    mean: [0, 0, 0],
    std: [1, 1, 1],
  });
}

describe("image encoders against PyTorch in float64", () => {
  it.each([
    ["swin-small", "padded maps, shifted windows, patch merging"],
    ["coswin-small", "the same with convolutional embeddings"],
    ["swin-tiny-224", "Swin-T as in torchvision"],
    ["coswin-tiny-224", "CoSwin-T"],
  ])("%s: %s", async (name) => {
    const fixture = await readFixture(name);
    const config = fixture.json<ReferenceConfig>("config");
    const encoder = encoderOf(config);
    const size = config.imageSize;
    const { pooled } = encoder.forwardNormalized(input("images", [2, size, size, 3]));
    const feeds = { images: fixtureImages(size) };
    const errors = await encoderErrors(fixture, namedParameters(encoder), pooled, feeds);
    const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
    expect(errors.output).toBeLessThan(tolerance.forward);
    expect(errors.loss).toBeLessThan(tolerance.forward);
    expect(errors.gradients.size).toBe(namedParameters(encoder).size);
    const worst = worstGradient(errors);
    expect(worst.error, worst.name).toBeLessThan(tolerance.gradients);
  });
});
