import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { detectionAugmentations } from "../tasks/detection/detection-recipe.ts";
import type { ClassMapStart } from "../training/detection-tuning.ts";
import { addRecipeOptions, type DetectionRecipeOptions, recipeFrom } from "./detection-recipe-options.ts";

function optionsOf(...words: string[]): DetectionRecipeOptions {
  const command = new Command();
  addRecipeOptions(command);
  return command.parse(words, { from: "user" }).opts<DetectionRecipeOptions>();
}

const recipeOf = (pictures: number, classMap: ClassMapStart, ...words: string[]) =>
  recipeFrom(optionsOf(...words), { pictures, start: { side: undefined, classMap }, seed: 3 });

describe("recipeFrom", () => {
  it("learns a new map to classes at a high rate, and on few pictures all hidden layers", () => {
    const [few, many] = [recipeOf(99, "new"), recipeOf(100, "new")];
    for (const recipe of [few, many]) {
      expect(recipe).toMatchObject({ optimizer: "muon", learningRate: 1e-3, classifierRateScale: 30 });
    }
    expect([few.matrixRateScale, many.matrixRateScale]).toEqual([20, 5]);
  });

  it("changes little of a detector that knows the classes, on few pictures", () => {
    const [few, many] = [recipeOf(99, "kept"), recipeOf(100, "kept")];
    expect(few).toMatchObject({ optimizer: "adamw", learningRate: 2e-4, classifierRateScale: 1 });
    expect(few.augmentation).toBe(detectionAugmentations.medium);
    expect(many).toMatchObject({ optimizer: "muon", learningRate: 1e-3, matrixRateScale: 5, classifierRateScale: 1 });
    expect(many.augmentation).toBe(detectionAugmentations.light);
  });

  it("does as it is told ahead of all that", () => {
    const words = ["--learning-rate", "0.01", "--augment", "none", "--optimizer", "adamw", "--classifier-rate", "2"];
    expect(recipeOf(1, "new", ...words)).toMatchObject({
      learningRate: 0.01,
      augmentation: detectionAugmentations.none,
      optimizer: "adamw",
      classifierRateScale: 2,
    });
  });

  it("makes as many updates as the passes over the pictures need, or as it is told", () => {
    expect(recipeOf(10, "new", "--epochs", "3", "--batch", "4").steps).toBe(8);
    expect(recipeOf(10, "new", "--steps", "5").steps).toBe(5);
  });

  it("takes the side of what it starts from, and the one asked for ahead of it", () => {
    const given = { pictures: 1, start: { side: 256, classMap: "new" }, seed: 0 } as const;
    expect(recipeFrom(optionsOf(), given).side).toBe(256);
    expect(recipeFrom(optionsOf("--side", "320"), given).side).toBe(320);
  });
});
