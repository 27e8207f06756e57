import { type Command, Option } from "commander";
import { UserError } from "../core/errors.ts";
import { detectorPresets } from "../models/detection/detector.ts";
import {
  type DetectionAugmentationName,
  type DetectionOptimizer,
  type DetectionRecipe,
  type DetectorFreeze,
  detectionAugmentations,
  detectionOptimizers,
  detectionRecipe,
} from "../tasks/detection/detection-recipe.ts";
import {
  addModelOption,
  bundledDetector,
  bundledModel,
  integerBetween,
  type ModelOption,
  numberBetween,
} from "./command.ts";

/** Options of a detector's training, as commands take them. */
export interface DetectionRecipeOptions {
  readonly side?: number;
  readonly batch: number;
  readonly epochs: number;
  readonly steps?: number;
  readonly learningRate?: number;
  readonly encoderRate: number;
  readonly classifierRate: number;
  readonly optimizer: DetectionOptimizer;
  readonly matrixRate: number;
  readonly average?: number;
  readonly freeze: DetectorFreeze;
  readonly frozenStages: number;
  readonly augment?: DetectionAugmentationName;
}

/** Where a detector's tuning starts: at a detector, or at a model's image encoder with a new pyramid and head. */
export interface StartOptions extends ModelOption {
  readonly detector?: string;
  readonly layout?: keyof typeof detectorPresets;
  readonly window?: number;
}

/** Adds `--detector`, `--model`, `--layout` and `--window`. */
export function addStartOptions(command: Command): void {
  const otherwise = `default: ${bundledDetector}, or the image encoder of another --model or with --layout or --window`;
  command.option("-d, --detector <name|dir>", `the detector to start from (${otherwise})`);
  addModelOption(command);
  command.addOption(
    new Option(
      "--layout <name>",
      "pyramid and head on a model's encoder: fine has strides from 4 on, nano from 8 (default: fine)",
    ).choices(Object.keys(detectorPresets)),
  );
  command.option("--window <n>", "tokens of an attention window of a model's encoder", integerBetween(1, 64));
}

/** The detector that a tuning starts from; undefined if it starts from the image encoder of `--model`. */
export function startingDetector({ detector, model, layout, window }: StartOptions): string | undefined {
  const asksForEncoder = model !== bundledModel || layout !== undefined || window !== undefined;
  if (detector === undefined) return asksForEncoder ? undefined : bundledDetector;
  if (layout === undefined && window === undefined) return detector;
  const rule = "--layout and --window: are of detectors made on a model's encoder";
  throw new UserError("bad-argument", `${rule}, got --detector ${detector} too. Leave one or the other out.`);
}

/** Adds the options of a detector's training. */
export function addRecipeOptions(command: Command): void {
  command.option(
    "--side <n>",
    "of the square that pictures are fitted into (default: the detector's, or 192)",
    sideFrom,
  );
  command.option("--batch <n>", "pictures an update", integerBetween(1, 1024), 4);
  command.option("--epochs <n>", "passes over the training pictures", numberBetween(0.001, 10_000), 12);
  command.option("--steps <n>", "updates, instead of epochs", integerBetween(1, 1e9));
  command.option(
    "--learning-rate <r>",
    `peak rate of the head (default: ${manyPictures.learningRate}, on fewer than ${few} pictures ${fewPictures.learningRate})`,
    numberBetween(1e-9, 10),
  );
  command.option("--encoder-rate <f>", "factor on the rate for the image encoder", numberBetween(0, 10), 1);
  command.option("--classifier-rate <f>", "factor on the rate for the map to classes", numberBetween(0, 1000), 1);
  command.addOption(
    new Option("--optimizer <name>", "of the matrices of hidden layers; all else is AdamW's")
      .choices(detectionOptimizers)
      .default("adamw"),
  );
  command.option("--matrix-rate <f>", "factor on the rate for Muon's matrices", numberBetween(0, 1000), 20);
  command.option(
    "--average <d>",
    "keep a moving average of the weights with this decay",
    numberBetween(0.001, 0.99999),
  );
  command.addOption(
    new Option("--freeze <what>", "what stays as it is: neck leaves the head's three maps alone to be learnt")
      .choices(["none", "encoder", "neck"])
      .default("none"),
  );
  command.option("--frozen-stages <n>", "first stages of the encoder that stay as they are", integerBetween(0, 16), 0);
  command.addOption(
    new Option(
      "--augment <name>",
      `augmentation (default: ${manyPictures.augmentation}, on fewer than ${few} pictures ${fewPictures.augmentation})`,
    ).choices(Object.keys(detectionAugmentations)),
  );
}

/**
 * What few pictures want, measured on potholes (docs/detection.md): at the rate of many, a detector tuned on one picture
 * finds less than it did before.
 */
const few = 100;
const fewPictures = { learningRate: 2e-4, augmentation: "medium" } as const;
const manyPictures = { learningRate: 1e-3, augmentation: "light" } as const;

function sideFrom(text: string): number {
  return integerBetween(32, 4096)(text);
}

/** The recipe that the options ask for, on so many pictures. */
export function recipeFrom(
  options: DetectionRecipeOptions,
  { pictures, side, seed }: { readonly pictures: number; readonly side: number | undefined; readonly seed: number },
): DetectionRecipe {
  const { batch, epochs, freeze, frozenStages, average } = options;
  const { learningRate, augmentation } = pictures < few ? fewPictures : manyPictures;
  return detectionRecipe({
    ...{ seed, batch, freeze, frozenStages },
    augmentation: options.augment ?? augmentation,
    learningRate: options.learningRate ?? learningRate,
    ...{ optimizer: options.optimizer, matrixRateScale: options.matrixRate },
    side: options.side ?? side ?? 192,
    steps: options.steps ?? Math.max(1, Math.ceil((epochs * pictures) / batch)),
    encoderRateScale: options.encoderRate,
    classifierRateScale: options.classifierRate,
    ...(average === undefined ? {} : { averageDecay: average }),
  });
}
