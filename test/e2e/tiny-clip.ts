import { TwoTower, type TwoTowerConfig } from "../../src/models/two-tower.ts";
import { initialWeights } from "../../src/nn/module.ts";
import { saveModel } from "../../src/zoo/save-model.ts";

const merges = ["#version: 0.2", "c a", "ca t</w>", "d o", "do g</w>"];
/** A CLIP of a few thousand weights, squashing its pictures: what the bundled model is not. */
const architecture: TwoTowerConfig = {
  image: {
    kind: "vit",
    imageSize: 24,
    patch: 8,
    width: 16,
    heads: 2,
    layers: 2,
    mlpRatio: 4,
    activation: "quick-gelu",
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  },
  text: {
    kind: "clip-transformer",
    vocabulary: 514 + 4,
    contextLength: 16,
    width: 16,
    heads: 2,
    layers: 2,
    activation: "quick-gelu",
  },
  embedding: 8,
};

/** Writes its checkpoint folder: random weights, a card that names a licence. */
export async function saveTinyClip(folder: string): Promise<void> {
  await saveModel(folder, {
    name: "tiny-clip",
    architecture,
    weights: initialWeights(new TwoTower(architecture), "export test"),
    tokenizer: { kind: "clip-bpe", mergesText: merges.join("\n"), mergeCount: 4 },
    preprocessing: { size: 24, resize: "squash", filter: "bilinear" },
    dtype: "F32",
    files: { "README.md": "---\nlicense: MIT\n---\n" },
  });
}
