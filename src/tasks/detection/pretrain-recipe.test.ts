import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isDetectorRecipe, parseDetectorRecipe, trainingRecipeOf } from "./pretrain-recipe.ts";

const shipped = JSON.parse(readFileSync(new URL("../../../recipes/nano-detector.json", import.meta.url), "utf8"));

describe("parseDetectorRecipe", () => {
  it("reads the shipped recipe, and hands its training on", () => {
    expect(isDetectorRecipe(shipped)).toBe(true);
    const training = trainingRecipeOf(parseDetectorRecipe(shipped, "nano-detector.json"));
    expect(training).toMatchObject({ side: 192, batch: 4, steps: 4500, freeze: "encoder", optimizer: "adamw" });
    const muon = trainingRecipeOf(
      parseDetectorRecipe({ ...shipped, optimizer: "muon", matrixRateScale: 5 }, "muon.json"),
    );
    expect(muon).toMatchObject({ optimizer: "muon", matrixRateScale: 5, learningRate: shipped.learningRate });
  });

  it.each([
    ["an unknown field", { stepz: 3 }, "stepz"],
    ["an unknown optimizer", { optimizer: "lion" }, "optimizer"],
    [
      "a set both trained on and scored",
      { validation: [{ name: "coco256", split: "train" }] },
      "coco256/train in both",
    ],
  ])("refuses %s, naming the file and the field", (_, change, said) => {
    expect(() => parseDetectorRecipe({ ...shipped, ...change }, "r.json")).toThrow(said);
    expect(() => parseDetectorRecipe({ ...shipped, ...change }, "r.json")).toThrow("r.json");
  });
});
