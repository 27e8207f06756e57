import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { detectionAugmentations } from "../tasks/detection/detection-recipe.ts";
import { addRecipeOptions, type DetectionRecipeOptions, recipeFrom } from "./detection-recipe-options.ts";

function optionsOf(...words: string[]): DetectionRecipeOptions {
  const command = new Command();
  addRecipeOptions(command);
  return command.parse(words, { from: "user" }).opts<DetectionRecipeOptions>();
}

const recipeOf = (pictures: number, ...words: string[]) =>
  recipeFrom(optionsOf(...words), { pictures, side: undefined, seed: 3 });

describe("recipeFrom", () => {
  it("treats few pictures with more care than many, unless told otherwise", () => {
    const [few, many] = [recipeOf(99), recipeOf(100)];
    expect(few).toMatchObject({ learningRate: 2e-4, augmentation: detectionAugmentations.medium });
    expect(many).toMatchObject({ learningRate: 1e-3, augmentation: detectionAugmentations.light });
    expect(recipeOf(1, "--learning-rate", "0.01", "--augment", "none")).toMatchObject({
      learningRate: 0.01,
      augmentation: detectionAugmentations.none,
    });
  });

  it("makes as many updates as the passes over the pictures need, or as it is told", () => {
    expect(recipeOf(10, "--epochs", "3", "--batch", "4").steps).toBe(8);
    expect(recipeOf(10, "--steps", "5").steps).toBe(5);
  });

  it("takes the side of what it starts from, and the one asked for ahead of it", () => {
    expect(recipeFrom(optionsOf(), { pictures: 1, side: 256, seed: 0 }).side).toBe(256);
    expect(recipeFrom(optionsOf("--side", "320"), { pictures: 1, side: 256, seed: 0 }).side).toBe(320);
  });
});
