import { type Command, Option } from "commander";
import { augmentNames } from "../data/augment-presets.ts";
import type { EvaluationOptions } from "../evaluation/evaluation-task.ts";
import { headStarts, tuningOptimizers } from "../tasks/fine-tune/recipe.ts";
import { integerBetween, numberBetween } from "./command.ts";

/** How a model is tuned before it is scored. */
export type EvaluatedTuning = Pick<
  EvaluationOptions,
  "epochs" | "batch" | "learningRate" | "augment" | "headStart" | "optimizer" | "matrixRate"
>;

/** Adds the options of `EvaluatedTuning`. */
export function addEvaluatedTuning(command: Command): void {
  command.option(
    "--epochs <n>",
    "passes over the training images (default: 100 for few shots, 10 for all images)",
    numberBetween(0.001, 10_000),
  );
  command.option("--batch <n>", "images an update (default: 64; few-shot: 25)", integerBetween(2, 65_536));
  command.option("--learning-rate <r>", "of the image tower, at its peak (default: 2e-4)", numberBetween(1e-9, 10));
  command.addOption(new Option("--augment <name>", "fine-tune: augmentation (default: light)").choices(augmentNames));
  command.addOption(
    new Option("--head-start <how>", "fine-tune: where a head starts from (default: zero-shot)").choices(headStarts),
  );
  command.addOption(
    new Option("--optimizer <name>", "fine-tune: of the matrices of hidden layers (default: adamw)").choices(
      tuningOptimizers,
    ),
  );
  command.option(
    "--matrix-rate <f>",
    "fine-tune: factor on the rate for muon's matrices (default: 10)",
    numberBetween(0.001, 1000),
  );
}

/** The options of tuning among those of a command. */
export function evaluatedTuning(options: EvaluatedTuning): EvaluatedTuning {
  const { epochs, batch, learningRate, augment, headStart, optimizer, matrixRate } = options;
  return { epochs, batch, learningRate, augment, headStart, optimizer, matrixRate };
}
