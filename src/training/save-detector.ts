import { randomBytes } from "node:crypto";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
import { type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { namedParameters } from "../nn/module.ts";
import type { DetectorPretrainRecipe } from "../tasks/detection/pretrain-recipe.ts";
import { detectorCard } from "./detector-card.ts";
import type { PretrainedDetector } from "./detector-pretraining.ts";

export interface SavedDetector {
  readonly recipe: DetectorPretrainRecipe;
  readonly encoder: { readonly name: string; readonly fingerprint: string };
  readonly trained: PretrainedDetector;
  readonly runDir: string; // has the loss curve
}

/**
 * Writes a pretrained detector's folder, which appears whole or not at all: weights in float16, `config.json`, the recipe,
 * `data-manifest.json` with every set and what it says of its licence, `scores.json`, the loss curve and the card.
 */
export async function saveDetector(folder: string, { recipe, encoder, trained, runDir }: SavedDetector): Promise<void> {
  const { detector, weights, names, sets, validation } = trained;
  const unfinished = `${folder}.${randomBytes(6).toString("hex")}.partial`;
  const tensors = new Map<string, WeightTensor>(
    [...namedParameters(detector)].map(([name, { shape }]) => [
      name,
      { shape, data: weights.get(name) as Float32Array },
    ]),
  );
  const config = {
    format: "florence-detector/1",
    name: recipe.name,
    architecture: detector.config,
    side: recipe.side,
    classes: names ? { kind: "texts", embedder: encoder } : { kind: "names", names: ["object"] },
    backbone: { ...encoder, frozen: recipe.freeze === "encoder" },
  };
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  try {
    await mkdir(unfinished, { recursive: true });
    await writeSafetensors(join(unfinished, "model.safetensors"), tensors, {
      dtype: "F16",
      metadata: { format: config.format },
    });
    await writeFileAtomic(join(unfinished, "config.json"), json(config));
    await writeFileAtomic(join(unfinished, "recipe.json"), json(recipe));
    await writeFileAtomic(join(unfinished, "data-manifest.json"), json({ sets }));
    await writeFileAtomic(join(unfinished, "scores.json"), json(validation));
    await copyFile(join(runDir, "loss-curve.png"), join(unfinished, "loss-curve.png"));
    await writeFileAtomic(join(unfinished, "README.md"), detectorCard({ recipe, encoder, trained }));
    await replaceFolder(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}
