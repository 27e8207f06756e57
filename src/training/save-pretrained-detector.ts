import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DetectorPretrainRecipe } from "../tasks/detection/pretrain-recipe.ts";
import { saveDetector } from "../zoo/detector-files.ts";
import { detectorCard } from "./detector-card.ts";
import type { PretrainedDetector } from "./detector-pretraining.ts";

export interface PretrainedDetectorFacts {
  readonly recipe: DetectorPretrainRecipe;
  readonly encoder: { readonly name: string; readonly fingerprint: string };
  readonly trained: PretrainedDetector;
  readonly runDir: string; // has the loss curve
}

/**
 * Writes a pretrained detector's folder, with the recipe, `data-manifest.json` (every set, and what it says of its sources
 * and licences), `scores.json`, the loss curve and the card.
 */
export async function savePretrainedDetector(
  folder: string,
  { recipe, encoder, trained, runDir }: PretrainedDetectorFacts,
): Promise<void> {
  const { detector, weights, names, sets, validation } = trained;
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  await saveDetector(folder, {
    name: recipe.name,
    architecture: detector.config,
    classes: names
      ? { kind: "text", embedder: encoder, templates: recipe.templates }
      : { kind: "fixed", names: ["object"] },
    preprocessing: { side: recipe.side, padding: "square" },
    backbone: { ...encoder, frozen: recipe.freeze === "encoder" },
    weights,
    files: {
      "recipe.json": json(recipe),
      "data-manifest.json": json({ sets }),
      "scores.json": json(validation),
      "loss-curve.png": await readFile(join(runDir, "loss-curve.png")),
      "README.md": detectorCard({ recipe, encoder, trained }),
    },
  });
}
