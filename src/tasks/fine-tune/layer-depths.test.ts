import { describe, expect, it } from "vitest";
import { TwoTower } from "../../models/two-tower.ts";
import { namedParameters } from "../../nn/module.ts";
import { layerDecayScales } from "./layer-depths.ts";

const image = {
  kind: "coswin",
  imageSize: 16,
  width: 8,
  depths: [2, 1],
  headWidth: 8,
  window: 4,
  mlpRatio: 2,
  activation: "gelu",
  embedding: "convolution",
  stemKernel: 7,
  stemStride: 4,
  dropPath: 0,
  mean: [0, 0, 0],
  std: [1, 1, 1],
} as const;
const text = {
  kind: "sentence-encoder",
  vocabulary: 10,
  contextLength: 8,
  width: 8,
  heads: 2,
  layers: 2,
  hidden: 16,
} as const;

function scalesOf(decay: number): Map<string, number> {
  const model = new TwoTower({ image, text, embedding: 4 });
  return layerDecayScales(namedParameters(model).keys(), decay);
}

describe("layerDecayScales", () => {
  const scales = scalesOf(0.5);

  it.each([
    ["imageEncoder.patchEmbed.", 1 / 16],
    ["imageEncoder.stages.0.blocks.0.", 1 / 8],
    ["imageEncoder.stages.0.blocks.1.", 1 / 4],
    ["imageEncoder.stages.0.downsample.", 1 / 4],
    ["imageEncoder.stages.1.blocks.0.", 1 / 2],
    ["imageEncoder.norm.", 1],
    ["textEncoder.tokenEmbedding", 1 / 8],
    ["textEncoder.norm.", 1 / 8], // of the embeddings, ahead of the blocks
    ["textEncoder.blocks.0.", 1 / 4],
    ["textEncoder.blocks.1.", 1 / 2],
    ["imageProjection.", 1],
    ["textProjection.", 1],
    ["logitScale", 1],
  ])("gives %s… a factor of %d", (prefix, factor) => {
    const group = [...scales].filter(([name]) => name.startsWith(prefix));
    expect(group.length).toBeGreaterThan(0);
    expect(group.map(([, scale]) => scale)).toEqual(group.map(() => factor));
  });

  it("covers every parameter, and a decay of 1 changes none", () => {
    const names = [...namedParameters(new TwoTower({ image, text, embedding: 4 })).keys()];
    expect([...scales.keys()].sort()).toEqual(names.sort());
    expect(new Set(scalesOf(1).values())).toEqual(new Set([1]));
  });

  it("counts the blocks of towers without stages, and takes a head for the end", () => {
    const names = ["imageEncoder.classToken", "imageEncoder.blocks.0.x", "imageEncoder.norm.x", "head.weight"];
    expect([...layerDecayScales(names, 0.5).values()]).toEqual([0.25, 0.5, 1, 1]);
  });
});
