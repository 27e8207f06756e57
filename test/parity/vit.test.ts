import { describe, expect, it } from "vitest";
import { matmul } from "../../src/graph/matrix.ts";
import { input, Parameter } from "../../src/graph/tensor.ts";
import { VisionTransformer } from "../../src/models/image-encoder/vit.ts";
import { namedParameters, zeros } from "../../src/nn/module.ts";
import { encoderErrors, fixtureImages, worstGradient } from "./encoder-parity.ts";
import { readFixture } from "./read-fixture.ts";

interface ReferenceConfig {
  imageSize: number;
  patch: number;
  width: number;
  layers: number;
  heads: number;
  embed: number;
}

describe("CLIP's vision transformer against PyTorch in float64", () => {
  it.each([["clip-image-small"], ["clip-image-b32"]])("%s", async (name) => {
    const fixture = await readFixture(name);
    const { embed, ...config } = fixture.json<ReferenceConfig>("config");
    const encoder = new VisionTransformer({
      kind: "vit",
      imageSize: config.imageSize,
      patch: config.patch,
      width: config.width,
      heads: config.heads,
      layers: config.layers,
      mlpRatio: 4,
      activation: "quick-gelu",
      mean: [0, 0, 0],
      std: [1, 1, 1],
    });
    // The reference ends in CLIP's projection, which belongs to the two-tower model here.
    const projection = new Parameter([config.width, embed], zeros);
    const parameters = namedParameters(encoder).set("projection", projection);
    const images = input("images", [2, config.imageSize, config.imageSize, 3]);
    const output = matmul(encoder.forwardNormalized(images).pooled, projection);

    const errors = await encoderErrors(fixture, parameters, output, { images: fixtureImages(config.imageSize) });
    const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
    expect(errors.output).toBeLessThan(tolerance.forward);
    expect(errors.loss).toBeLessThan(tolerance.forward);
    const worst = worstGradient(errors);
    expect(worst.error, worst.name).toBeLessThan(tolerance.gradients);
  });
});
