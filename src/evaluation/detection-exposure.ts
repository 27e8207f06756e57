import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { DetectionSet } from "../data/detection/detection-set.ts";
import { fewShotSubset } from "../data/detection/few-shot.ts";
import type { DetectionPictures } from "../data/detection/picture-store.ts";
import type { DetectionRecipe } from "../tasks/detection/detection-recipe.ts";
import { PictureDetector } from "../tasks/detection/picture-detector.ts";
import type { FindsBoxes } from "../tasks/detection/score-detections.ts";
import type { DetectionStepReport } from "../training/detection-training.ts";
import { openTrainingPictures, type TuningStart, tuneDetector } from "../training/detection-tuning.ts";
import { type DetectionRun, detectionIdentity, recordDetectionScore, splitImages } from "./detection-score.ts";
import { leastCandidate } from "./detection-settings.ts";
import type { Exposure } from "./exposure-curves.ts";
import type { Ledger } from "./ledger.ts";
import type { LedgerEntry } from "./ledger-entry.ts";

export interface DetectionExposureOptions {
  readonly set: DetectionSet;
  readonly split: string;
  readonly start: TuningStart;
  /** What finds boxes without a training picture, and what names it; no zero-shot score if left out. */
  readonly zeroShot?: { readonly detector: FindsBoxes; readonly protocol: LedgerEntry["protocol"] };
  readonly shots: readonly Exposure[];
  readonly seeds: readonly number[]; // of few-shot subsets; all pictures are trained on with the first alone
  readonly recipeOf: (exposure: Exposure, seed: number, pictures: number) => DetectionRecipe;
  readonly ledger: Ledger;
  readonly force?: boolean;
  readonly runDir: string; // of unfinished trainings; each is removed once its score is kept
  readonly cacheFolder: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (label: string, done: number, total: number, unit: string) => void;
  readonly onStep?: (label: string, report: DetectionStepReport) => void;
}

/**
 * A detector's scores by how many pictures a class it was tuned on: none, k of each of ODinW's subsets, all. Scores that
 * the ledger has are taken from it, and a training that was stopped goes on, so the same call continues anywhere.
 */
export async function* detectionExposure(options: DetectionExposureOptions): AsyncGenerator<LedgerEntry> {
  const { set, split, start, zeroShot, shots, seeds, ledger, force, signal } = options;
  splitImages(set, split);
  const run = { set, split, model: { name: start.name, fingerprint: start.fingerprint } };
  if (zeroShot && shots.includes(0)) {
    const asked = { ...run, protocol: { ...zeroShot.protocol, shots: 0 }, seed: null };
    const known = force ? undefined : ledger.find(detectionIdentity(asked));
    yield known ??
      (await recordDetectionScore(zeroShot.detector, asked, ledger, {
        ...(signal ? { signal } : {}),
        onProgress: (done, total) => options.onProgress?.("zero-shot", done, total, "pictures"),
      }));
  }
  let pictures: DetectionPictures | undefined;
  try {
    for (const exposure of shots) {
      if (exposure === 0) continue;
      for (const seed of exposure === "full" ? seeds.slice(0, 1) : seeds) {
        const train = set.splits.get("train") ?? [];
        const subset = exposure === "full" ? train : fewShotSubset(train, exposure, seed);
        const recipe = options.recipeOf(exposure, seed, subset.length);
        const asked: DetectionRun = { ...run, seed, protocol: { shots: exposure, ...protocolOf(recipe) } };
        const known = force ? undefined : ledger.find(detectionIdentity(asked));
        if (known) yield known;
        else {
          pictures ??= await openTrainingPictures(set, train, recipe.side, {
            cacheFolder: options.cacheFolder,
            ...(signal ? { signal } : {}),
            onProgress: (done, total) => options.onProgress?.("train pictures", done, total, "pictures"),
          });
          yield await tuneAndScore(options, asked, pictures.select(subset), recipe);
        }
      }
    }
  } finally {
    pictures?.close();
  }
}

async function tuneAndScore(
  options: DetectionExposureOptions,
  run: DetectionRun,
  pictures: ReturnType<DetectionPictures["select"]>,
  recipe: DetectionRecipe,
): Promise<LedgerEntry> {
  const { set, start, ledger, signal } = options;
  const { shots } = run.protocol;
  const label = `${set.name} ${shots === "full" ? "full" : `${String(shots)}-shot, seed ${String(run.seed)}`}`;
  const runDir = join(options.runDir, `${set.name}-${String(shots)}-${String(run.seed)}`);
  const tuned = await tuneDetector({
    name: label,
    set,
    pictures,
    subset: `${String(shots)}:${String(run.seed)}`,
    start,
    recipe,
    runDir,
    checkpointMinutes: 2,
    ...(signal ? { signal } : {}),
    onStep: (report) => options.onStep?.(label, report),
  });
  if (!tuned.finished) signal?.throwIfAborted();
  const detector = new PictureDetector({ detector: tuned.detector, weights: tuned.weights, side: recipe.side, decode });
  try {
    return await recordDetectionScore(detector, run, ledger, {
      ...(signal ? { signal } : {}),
      onProgress: (done, total) => options.onProgress?.(`${label}: scoring`, done, total, "pictures"),
    });
  } finally {
    await detector.dispose();
    await rm(runDir, { recursive: true, force: true });
  }
}

/** How boxes are taken for scores: from a low score on, since AP counts all of them. */
export const decode = { scoreThreshold: leastCandidate } as const;

/** What of a recipe decides a score, as a ledger's protocol. */
function protocolOf(recipe: DetectionRecipe): LedgerEntry["protocol"] {
  const { side, batch, steps, freeze, frozenStages, averageDecay, augmentation } = recipe;
  const { optimizer, learningRate, encoderRateScale, classifierRateScale, matrixRateScale } = recipe;
  return {
    ...{ side, batch, steps, optimizer, learningRate, encoderRateScale, classifierRateScale, freeze, frozenStages },
    ...(optimizer === "muon" ? { matrixRateScale } : {}),
    averageDecay: averageDecay ?? null,
    augmentation: JSON.stringify(augmentation),
  };
}
