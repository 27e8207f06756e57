import { readSafetensors } from "../io/safetensors.ts";
import { TwoTower } from "../models/two-tower.ts";
import { namedParameters, type Weights } from "../nn/module.ts";
import type { CheckpointFormat } from "./checkpoint.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { ForeignTensors } from "./foreign-tensors.ts";
import { modelConfigSchema } from "./model-config.ts";
import { readTokenizer } from "./tokenizer-files.ts";

/** Our own layout: `config.json`, `model.safetensors` with our parameter names, and the tokenizer's file. */
export const florenceCheckpoint: CheckpointFormat = {
  family: "Florence",
  weightNames: ["model.safetensors"],
  async recognizes(folder) {
    const format = await folder.field("config.json", "format");
    return typeof format === "string" && format.startsWith("florence-model/");
  },
  checkConfiguration: readConfiguration,
  async read(folder) {
    const { name, architecture, preprocessing, tokenizer } = await readConfiguration(folder);
    const path = folder.pathOf("model.safetensors");
    const tensors = new ForeignTensors((await readSafetensors(path)).tensors, path);
    const weights: Weights = new Map();
    for (const [key, { shape }] of namedParameters(new TwoTower(architecture)))
      weights.set(key, tensors.take(key, shape));
    tensors.finish();
    return { name, architecture, preprocessing, weights, tokenizer };
  },
};

async function readConfiguration(folder: CheckpointFolder) {
  const { name, architecture, preprocessing, tokenizer } = await folder.parse("config.json", modelConfigSchema);
  const read = await readTokenizer(folder.path, tokenizer, architecture.text.vocabulary);
  return { name, architecture, preprocessing, tokenizer: read };
}
