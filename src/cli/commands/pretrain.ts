import { join, resolve } from "node:path";
import type { Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { withFolder } from "../../io/folder-lock.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { isDetectorRecipe } from "../../tasks/detection/pretrain-recipe.ts";
import { type PretrainRecipe, parsePretrainRecipe } from "../../tasks/pretrain/recipe.ts";
import { curveOf, writeLossCurve } from "../../training/loss-curve.ts";
import { readMetrics } from "../../training/metrics-log.ts";
import { pretrain } from "../../training/pretraining.ts";
import { saveModel } from "../../zoo/save-model.ts";
import { addJsonOption, defineCommand, type JsonOption, numberBetween } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { exitCodes } from "../exit-codes.ts";
import { PhasedProgress } from "../phased-progress.ts";
import { pretrainDetectorCommand } from "../pretrain-detector.ts";

interface PretrainCommandOptions extends JsonOption {
  readonly out: string;
  readonly shards?: string;
  readonly data?: string;
  readonly checkpointMinutes: number;
}

/** `florence pretrain`: an image–text model from prepared shards, by UniCL. */
export const pretrainCommand = defineCommand<[string], PretrainCommandOptions>({
  name: "pretrain",
  summary: "Train an image–text model from scratch by UniCL, or a detector on one",
  details:
    "Runs the stages of a recipe over shards that `florence data prepare` made. Started again with the same --out, " +
    "it goes on from the last checkpoint. Ctrl+C saves one and stops.\n\nA recipe of kind detector trains an object detector " +
    "on a finished model's image encoder, from COCO, YOLO or Pascal VOC sets in the folder --data; it ends with scores " +
    "on sets that were not trained on, and the detector with its card is in detector/ of the output folder.",
  examples: [
    { line: "florence pretrain recipes/nano.json --out runs/nano", does: "train the bundled model anew" },
    { line: "florence pretrain recipes/nano.json --out runs/nano --json", does: "one JSON object a step on stdout" },
    {
      line: "florence pretrain recipes/nano-detector.json --data ~/data --out runs/detector",
      does: "a detector of any objects",
    },
  ],
  configure(command: Command) {
    command.argument("<recipe>", "a recipe file, JSON");
    command.requiredOption("-o, --out <folder>", "where checkpoints, logs and the finished model go");
    command.option("--shards <folder>", "prepared shards (default: shards/ in the cache folder)");
    command.option(
      "--data <folder>",
      "detectors: folder that holds the sets by name (else detection/ in the cache folder)",
    );
    command.option("--checkpoint-minutes <n>", "minutes between checkpoints", numberBetween(0, 1440), 5);
    addJsonOption(command);
  },

  async run(context, [recipePath], options) {
    const value = await readJson(recipePath);
    if (isDetectorRecipe(value)) return pretrainDetectorCommand(context, value, recipePath, options);
    const recipe = parsePretrainRecipe(value, recipePath);
    return withFolder(resolve(options.out), () => pretrainFrom(context, recipe, recipePath, options));
  },
});

/** Trains and saves, in the output folder that is this run's alone. */
async function pretrainFrom(
  context: CommandContext,
  recipe: PretrainRecipe,
  recipePath: string,
  options: PretrainCommandOptions,
): Promise<number> {
  const runDir = resolve(options.out);
  const progress = new PhasedProgress(context.environment);
  const model = await pretrain({
    recipe,
    recipePath,
    runDir,
    shardsFolder: options.shards ?? join(context.cacheFolder, "shards"),
    checkpointMinutes: options.checkpointMinutes,
    signal: context.signal,
    onTexts: (done, total) => progress.show("texts", total, "texts").update(done),
    onSkip: (folder, reason) => context.log(`skipped the damaged checkpoint ${folder}: ${reason}`),
    onWarning: context.log,
    onStep(stage, report) {
      const { step, totalSteps, loss, samplesPerSecond, learningRate } = report;
      progress.show(stage.name, totalSteps, "steps", step - 1).update(step, {
        loss: loss.toFixed(3),
        rate: learningRate.toExponential(1),
        "samples/s": samplesPerSecond.toFixed(0),
      });
      // A stopping run saves its checkpoint first; a line that cannot be printed any more must not prevent that.
      if (options.json && !context.signal.aborted) {
        void context.print(JSON.stringify({ stage: stage.name, ...report })).catch(() => undefined);
      }
    },
  });
  progress.stop();
  await drawCurve(runDir, recipe.name, recipe.stages);
  if (!model.finished) {
    context.log(`Stopped; a checkpoint is in ${runDir}. Run the same command to go on.`);
    return exitCodes.interrupted;
  }
  const folder = join(runDir, "model");
  await saveModel(folder, {
    name: recipe.name,
    architecture: model.config,
    weights: model.weights,
    tokenizer: model.tokenizer,
    files: { "recipe.json": `${JSON.stringify(recipe, null, 2)}\n` },
  });
  context.log(`Trained for ${(model.wallSeconds / 60).toFixed(1)} minutes; the model is in ${folder}.`);
  return exitCodes.ok;
}

async function readJson(path: string): Promise<unknown> {
  const text = await readUtf8(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError("corrupt", `${path}: must be JSON, got: ${(error as Error).message}. Correct the recipe.`);
  }
}

/** One curve over all stages, the steps of each following the last one's. */
async function drawCurve(
  runDir: string,
  name: string,
  stages: readonly { name: string; steps: number }[],
): Promise<void> {
  const records = [];
  let offset = 0;
  for (const [index, stage] of stages.entries()) {
    const path = join(runDir, `stage-${index}-${stage.name}`, "metrics.jsonl");
    const part = await readMetrics(path).catch(() => []); // a stage that has not begun has no log
    records.push(...part.map((record) => ({ ...record, step: record.step + offset })));
    offset += stage.steps;
  }
  if (records.length < 2) return;
  await writeLossCurve(runDir, "loss-curve", {
    title: `${name}: pretraining`,
    loss: curveOf(records, "loss"),
    learningRate: curveOf(records, "learningRate"),
  });
}
