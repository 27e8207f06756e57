import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { type OutputFolderOptions, writeFolderAtomic } from "../io/output-folder.ts";
import { type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { namedParameters, requireWeights } from "../nn/module.ts";
import type { ModelConfig } from "./model-config.ts";
import { describeTokenizer, type TokenizerSource } from "./tokenizer-files.ts";

export interface SavedModel {
  name: string;
  architecture: TwoTowerConfig;
  weights: ReadonlyMap<string, Float32Array>;
  tokenizer: TokenizerSource;
  /** How pictures are resized; the shorter side, bicubic, if left out. */
  preprocessing?: ModelConfig["preprocessing"];
  /** How weights are stored; float16 if left out. */
  dtype?: "F16" | "F32";
  /** Other files of the folder, such as the model card, by name. */
  files?: Readonly<Record<string, string | Uint8Array>>;
  /** Other files of tensors, in float32, by name. */
  tensorFiles?: Readonly<Record<string, ReadonlyMap<string, WeightTensor>>>;
}

/** Writes a checkpoint folder so that it appears whole or not at all. */
export async function saveModel(folder: string, model: SavedModel, options: OutputFolderOptions = {}): Promise<void> {
  const tower = new TwoTower(model.architecture);
  requireWeights(tower, model.weights);
  const tensors = new Map<string, WeightTensor>(
    [...namedParameters(tower)].map(([name, { shape }]) => [
      name,
      { shape, data: model.weights.get(name) as Float32Array },
    ]),
  );
  const tokenizer = describeTokenizer(model.tokenizer, model.architecture.text.contextLength);
  const config: ModelConfig = {
    format: "florence-model/1",
    name: model.name,
    architecture: model.architecture as ModelConfig["architecture"],
    tokenizer: tokenizer.config,
    preprocessing: model.preprocessing ?? {
      size: model.architecture.image.imageSize,
      resize: "shorter-side",
      filter: "bicubic",
    },
  };
  await writeFolderAtomic(
    folder,
    async (unfinished) => {
      await writeSafetensors(join(unfinished, "model.safetensors"), tensors, {
        dtype: model.dtype ?? "F16",
        metadata: { format: "florence-model/1" },
      });
      await writeFileAtomic(join(unfinished, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
      for (const [name, content] of Object.entries({ ...tokenizer.files, ...model.files }))
        await writeFileAtomic(join(unfinished, name), content);
      for (const [name, further] of Object.entries(model.tensorFiles ?? {}))
        await writeSafetensors(join(unfinished, name), further, { dtype: "F32" });
    },
    options,
  );
}
