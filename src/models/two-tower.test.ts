import { describe, expect, it } from "vitest";
import { randomData } from "../../test/support/evaluate.ts";
import { input } from "../graph/tensor.ts";
import { initialWeights, namedParameters } from "../nn/module.ts";
import { compile } from "../runtime/program.ts";
import { textInputs } from "./text-encoder/text-batch.ts";
import { TwoTower } from "./two-tower.ts";

const model = new TwoTower({
  image: {
    kind: "vit",
    imageSize: 8,
    patch: 4,
    width: 16,
    heads: 2,
    layers: 1,
    mlpRatio: 2,
    activation: "gelu",
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
  },
  text: { kind: "sentence-encoder", vocabulary: 10, contextLength: 4, width: 24, heads: 2, layers: 1, hidden: 32 },
  embedding: 8,
});
const parameters = namedParameters(model);
const weights = initialWeights(model, "two towers");

describe("TwoTower", () => {
  it("maps features of different widths into one space, by maps without a bias", () => {
    expect(parameters.get("imageProjection.weight")?.shape).toEqual([8, 16]);
    expect(parameters.get("textProjection.weight")?.shape).toEqual([8, 24]);
    expect([...parameters.keys()].filter((name) => name.endsWith("Projection.bias"))).toEqual([]);
  });

  it("starts at CLIP's logit scale", () => {
    expect(Math.exp(weights.get("logitScale")?.[0] as number)).toBeCloseTo(1 / 0.07, 4);
  });

  it("gives unit vectors, and the same ones from the features of a text as from its tokens", async () => {
    const texts = textInputs(2, 4);
    const outputs = {
      images: model.embedImages(input("pixels", [2, 8, 8, 3], "uint8")),
      texts: model.embedTexts(texts),
      features: model.textEncoder.forward(texts),
    };
    const program = await compile({ outputs, parameters, weights, threads: 1 });
    const result = (await program.run({
      pixels: Uint8Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => (i * 37) % 256),
      "text.ids": Int32Array.from([1, 2, 3, 4, 5, 6, 0, 0]),
      "text.mask": Float32Array.from([1, 1, 1, 1, 1, 1, 0, 0]),
    })) as Record<string, Float32Array>;
    await program.dispose();
    for (const matrix of [result.images, result.texts]) {
      for (const from of [0, 8]) expect(Math.hypot(...matrix.subarray(from, from + 8))).toBeCloseTo(1, 5);
    }
    const { again } = await projectedFeatures(result.features);
    for (const [i, value] of again.entries()) expect(value).toBeCloseTo(result.texts[i], 5);
  });

  it("cares for the direction of text features alone, not their length", async () => {
    const features = randomData([2, 24], "features");
    const [plain, longer] = [await projectedFeatures(features), await projectedFeatures(features.map((v) => v * 9))];
    for (const [i, value] of plain.again.entries()) expect(value).toBeCloseTo(longer.again[i], 5);
  });
});

async function projectedFeatures(features: Float32Array): Promise<Record<string, Float32Array>> {
  const outputs = { again: model.embedTextFeatures(input("features", [2, 24])) };
  const program = await compile({ outputs, parameters, weights, threads: 1 });
  const result = await program.run({ features });
  await program.dispose();
  return result as Record<string, Float32Array>;
}
