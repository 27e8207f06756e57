import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { withFolder } from "../io/folder-lock.ts";
import { averageTextEmbeddings } from "../tasks/classification/text-averages.ts";
import { requireCoSwin } from "../tasks/detection/detector-start.ts";
import { type DetectorPretrainRecipe, parseDetectorRecipe } from "../tasks/detection/pretrain-recipe.ts";
import { pretrainDetector } from "../training/detector-pretraining.ts";
import { savePretrainedDetector } from "../training/save-pretrained-detector.ts";
import { readCheckpoint } from "../zoo/checkpoint-formats.ts";
import type { CommandContext } from "./context.ts";
import { exitCodes } from "./exit-codes.ts";
import { PhasedProgress } from "./phased-progress.ts";

export interface PretrainDetectorOptions {
  readonly json?: boolean;
  readonly out: string;
  readonly data?: string;
  readonly checkpointMinutes: number;
}

/** `florence pretrain` with a detector's recipe. */
export async function pretrainDetectorCommand(
  context: CommandContext,
  value: unknown,
  recipePath: string,
  options: PretrainDetectorOptions,
): Promise<number> {
  const recipe = parseDetectorRecipe(value, recipePath);
  return withFolder(resolve(options.out), () => pretrainFrom(context, recipe, recipePath, options));
}

/** Trains, scores and saves, in the output folder that is this run's alone. */
async function pretrainFrom(
  context: CommandContext,
  recipe: DetectorPretrainRecipe,
  recipePath: string,
  { json, out, data, checkpointMinutes }: PretrainDetectorOptions,
): Promise<number> {
  const runDir = resolve(out);
  const encoder = await openEncoder(context, recipe, recipePath);
  const progress = new PhasedProgress(context.environment);
  const trained = await pretrainDetector({
    recipe,
    encoder,
    folderOf: (name) =>
      [...(data ? [data] : []), join(context.cacheFolder, "detection")]
        .map((folder) => join(folder, name))
        .find((folder) => existsSync(folder)),
    async embedNames(names) {
      const model = await context.loadModel(encoder.folder);
      try {
        return await averageTextEmbeddings(model, names, recipe.templates, { signal: context.signal });
      } finally {
        await model.dispose();
      }
    },
    cacheFolder: context.cacheFolder,
    runDir,
    checkpointMinutes,
    signal: context.signal,
    onLoad: (name, done, total) => progress.show(name, total, "pictures").update(done),
    onSkip: (folder, reason) => context.log(`skipped the damaged checkpoint ${folder}: ${reason}`),
    onWarning: context.log,
    onStep(report) {
      const { step, totalSteps, loss, samplesPerSecond, learningRate } = report;
      progress.show(recipe.name, totalSteps, "steps", step - 1).update(step, {
        loss: loss.toFixed(3),
        rate: learningRate.toExponential(1),
        "samples/s": samplesPerSecond.toFixed(1),
      });
      // A stopping run saves its checkpoint first; a line that cannot be printed any more must not prevent that.
      if (json && !context.signal.aborted) void context.print(JSON.stringify(report)).catch(() => undefined);
    },
  }).finally(() => progress.stop());
  if (!trained.finished) {
    context.log(`Stopped; a checkpoint is in ${runDir}. Run the same command to go on.`);
    return exitCodes.interrupted;
  }
  const folder = join(runDir, "detector");
  const { name, fingerprint } = encoder;
  await savePretrainedDetector(folder, { recipe, encoder: { name, fingerprint }, trained, runDir });
  if (trained.missing.length > 0) {
    context.log(`not scored, since neither --data nor the cache has them: ${trained.missing.join(", ")}`);
  }
  for (const score of trained.validation) {
    if (json) await context.print(JSON.stringify({ validation: score }));
    else {
      const { detector, random } = score;
      const told = (["ap", "ar10", "ar100"] as const).map(
        (metric) => `${metric} ${detector[metric].toFixed(3)} (random boxes ${random[metric].toFixed(3)})`,
      );
      context.log(`${score.name} ${score.split}: ${told.join(", ")}`);
    }
  }
  context.log(`Trained for ${(trained.wallSeconds / 60).toFixed(1)} minutes; the detector is in ${folder}.`);
  return exitCodes.ok;
}

/** The backbone that the recipe names: a folder beside the recipe, or a model by name. */
async function openEncoder(context: CommandContext, recipe: DetectorPretrainRecipe, recipePath: string) {
  const beside = resolve(dirname(recipePath), recipe.encoder);
  const folder = existsSync(beside) ? beside : await context.modelFolder(recipe.encoder);
  const checkpoint = await readCheckpoint(folder);
  const image = requireCoSwin(checkpoint.architecture.image, recipe.encoder);
  const model = await context.loadModel(folder); // knows the fingerprint
  const { fingerprint } = model;
  await model.dispose();
  const { weights, name, architecture } = checkpoint;
  return { folder, name, fingerprint, image, weights, embedding: architecture.embedding };
}
