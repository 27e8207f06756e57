import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "../../src/io/images.ts";
import type { FlorenceModel } from "../../src/zoo/florence-model.ts";
import { compareGoldenVectors, readGoldenVectors } from "../../src/zoo/golden-vectors.ts";
import { loadModel } from "../../src/zoo/load-model.ts";

const folder = resolve(import.meta.dirname, "../../weights/florence-nano");

describe("the bundled model", () => {
  let model: FlorenceModel;
  beforeAll(async () => {
    model = await loadModel("florence-nano");
  });
  afterAll(() => model.dispose());

  it("gives the golden vectors on this machine", async () => {
    const golden = await readGoldenVectors(folder);
    const comparison = await compareGoldenVectors(model, golden, folder, decodeImage);
    expect(comparison.compared).toBeGreaterThan(10);
    expect(comparison.lowestCosine).toBeGreaterThan(0.9999);
  });

  it("keeps within 40 MB and carries what a checkpoint must", async () => {
    let bytes = 0;
    for (const name of [
      "model.safetensors",
      "config.json",
      "vocab.txt",
      "golden.json",
      "README.md",
      "data-manifest.json",
    ]) {
      bytes += (await stat(join(folder, name))).size;
    }
    expect(bytes).toBeLessThan(40e6);
    expect(await readFile(join(folder, "README.md"), "utf8")).toContain("Tiny ImageNet");
  });

  it("places words as its sentence encoder does", async () => {
    const [cat, kitten, truck] = await model.embedTexts(["cat", "kitten", "truck"]);
    const cosine = (a?: Float32Array, b?: Float32Array) =>
      (a as Float32Array).reduce((sum, value, i) => sum + value * (b as Float32Array)[i], 0);
    expect(cosine(cat, kitten)).toBeGreaterThan(cosine(cat, truck));
  });
});
