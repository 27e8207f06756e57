import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DetectionSet } from "../data/detection/detection-set.ts";
import type { DetectionRecipe } from "../tasks/detection/detection-recipe.ts";
import type { DetectionScores } from "../tasks/detection/score-detections.ts";
import { saveDetector } from "../zoo/detector-files.ts";
import type { TunedDetector, TuningStart } from "./detection-tuning.ts";

export interface TunedDetectorFacts {
  readonly name: string;
  readonly set: DetectionSet;
  readonly start: TuningStart;
  readonly recipe: DetectionRecipe;
  readonly tuned: TunedDetector;
  readonly runDir: string; // has the loss curve, if there were steps enough for one
  readonly subset: string; // which training pictures, in words
  readonly pictures: number; // trained on
  readonly failed: number; // that did not decode
  readonly scores: Readonly<Partial<Record<"val" | "test", DetectionScores>>>;
  readonly sheet?: Uint8Array; // predictions drawn on pictures, JPEG
}

/** Writes a tuned detector's folder with its card, recipe, scores, loss curve and drawn predictions. */
export async function saveTunedDetector(folder: string, facts: TunedDetectorFacts): Promise<void> {
  const { name, set, start, recipe, tuned, runDir, scores, sheet } = facts;
  const curve = await readFile(join(runDir, "loss-curve.png")).catch(() => undefined);
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  await saveDetector(folder, {
    name,
    architecture: tuned.detector.config,
    weights: tuned.weights,
    classes: { kind: "fixed", names: [...set.classes] },
    preprocessing: { side: recipe.side, padding: "square" },
    backbone: { ...start.backbone, frozen: start.backbone.frozen && recipe.freeze !== "none" },
    files: {
      "README.md": tunedDetectorCard(facts),
      "recipe.json": json(recipe),
      "scores.json": json(Object.fromEntries(Object.entries(scores).map(([split, { coco }]) => [split, coco]))),
      ...(curve ? { "loss-curve.png": curve } : {}),
      ...(sheet ? { "predictions.jpg": sheet } : {}),
    },
  });
}

/** The model card; every number is of the run. */
export function tunedDetectorCard(facts: TunedDetectorFacts): string {
  const { name, set, start, recipe, tuned, subset, pictures, failed, scores, sheet } = facts;
  const rows = (["val", "test"] as const).flatMap((split) => {
    const found = scores[split];
    if (!found) return [];
    const { ap, ap50, ap75, apSmall, apMedium, apLarge } = found.coco;
    return [`| ${split} | ${[ap, ap50, ap75, apSmall, apMedium, apLarge].map(percent).join(" | ")} |`];
  });
  const left = failed > 0 ? `, ${failed} that did not decode left out` : "";
  const weights = recipe.averageDecay
    ? `the weights' moving average (decay ${recipe.averageDecay})`
    : "the last weights";
  return [
    "---",
    `name: ${name}`,
    "license: that of the model it was made from and of the data it was tuned on",
    `base: ${start.name}`,
    `tuned: ${set.name}, detection`,
    "---",
    "",
    `# ${name}`,
    "",
    `A detector of ${set.classes.join(", ")}. Made from ${start.name} (fingerprint ${start.fingerprint.slice(0, 12)}) by ` +
      `\`florence tune detection\`: ${tuned.steps} steps of ${recipe.batch} pictures at ${recipe.side} pixels, ` +
      `${(tuned.wallSeconds / 60).toFixed(1)} minutes, on ${pictures} pictures of ${set.name} (${subset}${left}); ` +
      `${weights} are kept. The recipe is in \`recipe.json\`.`,
    "",
    ...(rows.length > 0
      ? ["| part | AP | AP50 | AP75 | small | medium | large |", "|---|---|---|---|---|---|---|", ...rows, ""]
      : ["The set has neither a validation nor a test part: it was not scored.", ""]),
    ...(sheet ? ["`predictions.jpg` shows what it finds: broken lines are the truth.", ""] : []),
  ].join("\n");
}

const percent = (share: number): string => (Number.isNaN(share) ? "–" : `${(100 * share).toFixed(1)} %`);
