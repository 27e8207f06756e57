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
import type { ClassMapStart, TuningStart } from "../training/detection-tuning.ts";
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
  readonly classifierRate?: number;
  readonly optimizer?: DetectionOptimizer;
  readonly matrixRate?: number;
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
    `peak rate of the head (default: 1e-3; 2e-4 for the same classes on fewer than ${few} pictures)`,
    numberBetween(1e-9, 10),
  );
  command.option("--encoder-rate <f>", "factor on the rate for the image encoder", numberBetween(0, 10), 1);
  command.option(
    "--classifier-rate <f>",
    "factor on the rate for the map to classes (default: 30 for new classes, else 1)",
    numberBetween(0, 1000),
  );
  command.addOption(
    new Option(
      "--optimizer <name>",
      `of the matrices of hidden layers; all else is AdamW's (default: muon; adamw for the same classes on fewer than ${few} pictures)`,
    ).choices(detectionOptimizers),
  );
  command.option(
    "--matrix-rate <f>",
    `factor on the rate for Muon's matrices (default: 5; 20 for new classes on fewer than ${few} pictures)`,
    numberBetween(0, 1000),
  );
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
    new Option("--augment <name>", `augmentation (default: light; medium on fewer than ${few} pictures)`).choices(
      Object.keys(detectionAugmentations),
    ),
  );
}

/** Rates and augmentation where the command line does not say. */
type DefaultRates = Pick<DetectionRecipe, "optimizer" | "learningRate" | "matrixRateScale" | "classifierRateScale"> & {
  readonly augmentation: DetectionAugmentationName;
};

/** Fewer training pictures than this are few. */
const few = 100;

/**
 * As measured (docs/detection.md): a new map to classes has to be learnt at a high rate, and on few pictures, and so in few
 * updates, the layers ahead of it too. A map that stays needs less; and on few pictures so little that nothing is lost
 * of what the detector knows.
 */
function defaultRates(pictures: number, classMap: ClassMapStart): DefaultRates {
  const isFew = pictures < few;
  const augmentation = isFew ? "medium" : "light";
  if (classMap === "kept" && isFew) {
    return { optimizer: "adamw", learningRate: 2e-4, matrixRateScale: 5, classifierRateScale: 1, augmentation };
  }
  const muon = { optimizer: "muon", learningRate: 1e-3, augmentation } as const;
  if (classMap === "kept") return { ...muon, matrixRateScale: 5, classifierRateScale: 1 };
  return { ...muon, matrixRateScale: isFew ? 20 : 5, classifierRateScale: 30 };
}

function sideFrom(text: string): number {
  return integerBetween(32, 4096)(text);
}

/** The recipe that the options ask for, on so many pictures. */
export function recipeFrom(
  options: DetectionRecipeOptions,
  {
    pictures,
    start: { side, classMap },
    seed,
  }: { readonly pictures: number; readonly start: Pick<TuningStart, "side" | "classMap">; readonly seed: number },
): DetectionRecipe {
  const { batch, epochs, freeze, frozenStages, average } = options;
  const rates = defaultRates(pictures, classMap);
  return detectionRecipe({
    ...{ seed, batch, freeze, frozenStages },
    side: options.side ?? side ?? 192,
    steps: options.steps ?? Math.max(1, Math.ceil((epochs * pictures) / batch)),
    optimizer: options.optimizer ?? rates.optimizer,
    learningRate: options.learningRate ?? rates.learningRate,
    matrixRateScale: options.matrixRate ?? rates.matrixRateScale,
    classifierRateScale: options.classifierRate ?? rates.classifierRateScale,
    encoderRateScale: options.encoderRate,
    augmentation: options.augment ?? rates.augmentation,
    ...(average === undefined ? {} : { averageDecay: average }),
  });
}
