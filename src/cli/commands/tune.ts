import { basename, resolve } from "node:path";
import { type Command, Option } from "commander";
import { type AugmentName, augmentNames } from "../../data/augment-presets.ts";
import { openLabelledSet } from "../../data/labelled/open-labelled-set.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { checkTemplates } from "../../tasks/classification/prompts.ts";
import { bareTemplates, defaultTemplates } from "../../tasks/classification/templates.data.ts";
import { type FineTuneRecipe, fineTuneRecipe, headStarts, tuningOptimizers } from "../../tasks/fine-tune/recipe.ts";
import { defaultMaxLoss, type MixtureChoice, type TuningResult, tune } from "../../training/tuning.ts";
import { readCheckpoint } from "../../zoo/checkpoint-formats.ts";
import { readTokenizerSource } from "../../zoo/tokenizer-files.ts";
import {
  addJsonOption,
  addModelOption,
  defineCommand,
  integerBetween,
  type JsonOption,
  type ModelOption,
  numberBetween,
} from "../command.ts";
import type { CommandContext } from "../context.ts";
import { reportNotes } from "../evaluation-session.ts";
import { exitCodes } from "../exit-codes.ts";
import { fingerprintOf } from "../model-lookup.ts";
import { TuningDisplay } from "../tuning-display.ts";

interface TuneOptions extends ModelOption, JsonOption {
  readonly out: string;
  readonly method: FineTuneRecipe["method"];
  readonly name?: string;
  readonly epochs: number;
  readonly steps?: number;
  readonly batch: number;
  readonly chunk?: number;
  readonly learningRate?: number;
  readonly optimizer: FineTuneRecipe["optimizer"];
  readonly matrixRate: number;
  readonly warmup?: number;
  readonly weightDecay: number;
  readonly layerDecay: number;
  readonly average?: number;
  readonly imageSize?: number;
  readonly augment: AugmentName;
  readonly flip: boolean;
  readonly mixup: number;
  readonly cutmix: number;
  readonly labelSmoothing: number;
  readonly dropPath?: number;
  readonly tuneText?: boolean;
  readonly freezeImage?: boolean;
  readonly headStart: FineTuneRecipe["headStart"];
  readonly templates: string;
  readonly rank: number;
  readonly alpha: number;
  readonly tower: FineTuneRecipe["lora"]["tower"];
  readonly layers?: string;
  readonly wiseFt?: MixtureChoice;
  readonly anchor: number;
  readonly control?: string;
  readonly controlTemplates?: string;
  readonly maxLoss?: number;
  readonly seed: number;
  readonly checkpointMinutes: number;
}

/** `florence tune`: a model of the user's own from a labelled or captioned set. */
export const tuneCommand = defineCommand<[string], TuneOptions>({
  name: "tune",
  summary: "Tune a model on your labelled or captioned pictures",
  details:
    "Goes on training a model on a labelled set (a folder with a subfolder for each class, a table, packed images, " +
    "COCO captions, …). Methods: contrastive, the pretraining loss with class names or captions as texts; head, a " +
    "classifier that starts from the class names; lora, small adapters beside frozen weights. The finished model is " +
    "in model/ of the output folder. Started again with the same --out, it goes on from the last checkpoint; Ctrl+C " +
    "saves one and stops.\n\nTuning makes a model forget. --control scores another set before and after, and " +
    "--wise-ft mixes the tuned weights with the original ones, which often keeps most of both.",
  examples: [
    { line: "florence tune photos/ --out runs/photos", does: "a folder with one subfolder for each class" },
    {
      line: "florence tune photos/ --method head --epochs 20 --out runs/photos",
      does: "a classifier of exactly these classes",
    },
    {
      line: "florence tune photos/ --wise-ft best --control imagenet-val/ --max-loss 0.02 --out runs/photos",
      does: "the best mixture that loses at most two points elsewhere, or exit code 1",
    },
    {
      line: "florence tune captions.json -m openai/clip-vit-base-patch32 --method lora --tower both --out runs/clip",
      does: "adapters of a few megabytes for a large model",
    },
  ],
  configure: configureTune,

  async run(context, [path], options) {
    const display = new TuningDisplay(context, options.json ?? false);
    const opening = { cacheFolder: context.cacheFolder, signal: context.signal };
    const set = await openLabelledSet(path, opening);
    const controlSet = options.control === undefined ? undefined : await openLabelledSet(options.control, opening);
    try {
      for (const problem of [...set.problems, ...(controlSet?.problems ?? [])]) display.fail(problem);
      reportNotes([...set.notes, ...(controlSet?.notes ?? [])], context.log);
      const recipe = recipeFrom(options, await templatesFrom(options.templates));
      const folder = await context.modelFolder(options.model);
      const checkpoint = await readCheckpoint(folder);
      const control = controlSet && {
        set: controlSet,
        templates: await templatesFrom(options.controlTemplates ?? options.templates),
      };
      const result = await tune({
        recipe,
        checkpoint,
        set,
        name: options.name ?? basename(resolve(options.out)),
        base: checkpoint.name,
        fingerprint: await fingerprintOf(context, options.model),
        tokenizer: await readTokenizerSource(checkpoint.tokenizer, folder),
        runDir: resolve(options.out),
        cacheFolder: context.cacheFolder,
        checkpointMinutes: options.checkpointMinutes,
        signal: context.signal,
        ...(control ? { control } : {}),
        ...(options.wiseFt === undefined ? {} : { mixture: options.wiseFt }),
        ...(options.maxLoss === undefined ? {} : { maxLoss: options.maxLoss }),
        ...display.listeners,
      });
      display.stop();
      if (!result) {
        context.log(`Stopped; a checkpoint is in ${options.out}. Run the same command to go on.`);
        return exitCodes.interrupted;
      }
      await display.finish(result);
      const code = verdict(context, options, result);
      return code === exitCodes.ok && display.failures > 0 ? exitCodes.someFailed : code;
    } finally {
      display.stop();
      await set.close();
      await controlSet?.close();
    }
  },
});

function configureTune(command: Command): void {
  command.argument("<data>", "a labelled or captioned set");
  command.requiredOption("-o, --out <folder>", "where checkpoints, logs and the finished model go");
  addModelOption(command);
  command.addOption(
    new Option("--method <name>", "how to tune").choices(["contrastive", "head", "lora"]).default("contrastive"),
  );
  command.option("--name <name>", "of the tuned model (default: that of the output folder)");
  command.option("--epochs <n>", "passes over the training pictures", numberBetween(0.001, 10_000), 10);
  command.option("--steps <n>", "updates, instead of epochs", integerBetween(1, 1e9));
  command.option("--batch <n>", "pictures an update", integerBetween(2, 65_536), 128);
  command.option("--chunk <n>", "pictures through the model at a time (gradient cache)", integerBetween(1, 65_536));
  command.option("--learning-rate <r>", "peak rate (default: 2e-4; lora: 1e-3)", numberBetween(1e-9, 10));
  command.addOption(
    new Option("--optimizer <name>", "of the matrices of hidden layers; all else is AdamW's")
      .choices(tuningOptimizers)
      .default("adamw"),
  );
  command.option("--matrix-rate <f>", "factor on the rate for Muon's matrices", numberBetween(0.001, 1000), 10);
  command.option("--warmup <n>", "updates up to the peak (default: a tenth, at most 500)", integerBetween(0, 1e9));
  command.option("--weight-decay <w>", "decoupled weight decay", numberBetween(0, 10), 0.05);
  command.option(
    "--layer-decay <f>",
    "factor on the rate from each block to the one before",
    numberBetween(0.01, 1),
    1,
  );
  command.option(
    "--average <d>",
    "keep a moving average of the weights with this decay",
    numberBetween(0.001, 0.999_999),
  );
  command.option("--image-size <n>", "side of the pictures (default: the model's)", integerBetween(8, 4096));
  command.addOption(new Option("--augment <name>", "augmentation").choices(augmentNames).default("light"));
  command.option("--no-flip", "never mirror pictures: for digits, writing, signs");
  command.option("--mixup <a>", "head: alpha of mixup", numberBetween(0, 1), 0);
  command.option("--cutmix <a>", "head: alpha of CutMix", numberBetween(0, 1), 0);
  command.option(
    "--label-smoothing <s>",
    "head: share of each target spread over all classes",
    numberBetween(0, 0.99),
    0.1,
  );
  command.option("--drop-path <p>", "stochastic depth of the last block (default: the model's)", numberBetween(0, 0.9));
  command.option("--tune-text", "tune the text tower too");
  command.option("--freeze-image", "leave the image tower as it is");
  command.addOption(
    new Option("--head-start <how>", "head: start from the class names, at random, or from a linear probe")
      .choices(headStarts)
      .default("zero-shot"),
  );
  command.option("--templates <file>", "prompts with {} for the class, one a line; or `default`, `bare`", "default");
  command.option("--rank <r>", "lora: rank of the adapters", integerBetween(1, 4096), 8);
  command.option("--alpha <a>", "lora: scale of the adapters, times 1 / rank", numberBetween(0.001, 10_000), 16);
  command.addOption(
    new Option("--tower <name>", "lora: which tower").choices(["image", "text", "both"]).default("image"),
  );
  command.option("--layers <regex>", "lora: which linear layers (default: attention and MLPs)");
  command.option(
    "--anchor <w>",
    "hold embeddings to the original's with this weight, such as 1",
    numberBetween(0, 1e4),
    0,
  );
  command.option(
    "--wise-ft <alpha>",
    "share of the tuned weights to keep, 0 to 1, or `best` on validation",
    parseMixture,
  );
  command.option("--control <data>", "another set that the model should still know");
  command.option("--control-templates <file>", "prompts for the control set (default: as --templates)");
  command.option("--max-loss <x>", "fail if the control score falls by more, such as 0.02", numberBetween(0, 1));
  command.option("--seed <n>", "of order, augmentation and held-out pictures", integerBetween(0, 2 ** 31), 0);
  command.option("--checkpoint-minutes <n>", "minutes between checkpoints", numberBetween(0, 1440), 5);
  addJsonOption(command);
}

function recipeFrom(options: TuneOptions, templates: string[]): FineTuneRecipe {
  const { rank, alpha, tower, layers } = options;
  return fineTuneRecipe({
    method: options.method,
    seed: options.seed,
    epochs: options.epochs,
    steps: options.steps,
    batch: options.batch,
    chunk: options.chunk,
    ...(options.learningRate === undefined ? {} : { learningRate: options.learningRate }),
    optimizer: options.optimizer,
    matrixRateScale: options.matrixRate,
    warmupSteps: options.warmup,
    weightDecay: options.weightDecay,
    layerDecay: options.layerDecay,
    averageDecay: options.average,
    imageSize: options.imageSize,
    augment: options.augment,
    flip: options.flip,
    mixup: options.mixup,
    cutmix: options.cutmix,
    labelSmoothing: options.labelSmoothing,
    dropPath: options.dropPath,
    tuneImage: !options.freezeImage,
    tuneText: options.tuneText ?? false,
    headStart: options.headStart,
    templates,
    anchor: options.anchor,
    lora: { rank, alpha, tower, ...(layers === undefined ? {} : { layers }) },
  });
}

async function templatesFrom(source: string): Promise<string[]> {
  if (source === "default") return [...defaultTemplates];
  if (source === "bare") return [...bareTemplates];
  const lines = (await readUtf8(source)).split("\n").map((line) => line.trim());
  return checkTemplates(lines.filter((line) => line !== ""));
}

function parseMixture(text: string): MixtureChoice {
  return text === "best" ? "best" : numberBetween(0, 1)(text);
}

/** Says what was forgotten; a failed check where a bound was given. */
function verdict(context: CommandContext, { maxLoss, control }: TuneOptions, { loss, report }: TuningResult): number {
  if (control === undefined) return exitCodes.ok;
  const points = `${(100 * loss).toFixed(1)} points`;
  if (maxLoss !== undefined && loss > maxLoss) {
    const bound = `${(100 * maxLoss).toFixed(1)} points were allowed`;
    context.log(`${report.control?.name}: the control score fell by ${points}; ${bound}. Try --wise-ft best.`);
    return exitCodes.internal;
  }
  if (loss > defaultMaxLoss) {
    context.log(
      `Warning: the score on ${report.control?.name} fell by ${points}. Try --wise-ft best, or a lower rate.`,
    );
  }
  return exitCodes.ok;
}
