import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { preprocess } from "../../src/data/transforms.ts";
import { input } from "../../src/graph/tensor.ts";
import { decodeImage } from "../../src/io/images.ts";
import { TwoTower } from "../../src/models/two-tower.ts";
import { addAdapters } from "../../src/nn/low-rank.ts";
import { namedParameters } from "../../src/nn/module.ts";
import { compile } from "../../src/runtime/program.ts";
import { readAdapter } from "../../src/zoo/adapter-files.ts";
import { readCheckpoint } from "../../src/zoo/checkpoint-formats.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";
import { writeColourSet, writeTinyModel } from "./tiny-model.ts";

let folder = "";
const run = (...words: string[]) => runFlorence(words, { loadModel, cacheFolder: join(folder, "cache") });
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-merge-"));
  await writeTinyModel(at("base"));
  await writeColourSet(at("colours"), 6);
  const { exitCode, stderr } = await run(
    ...["tune", at("colours"), "--model", at("base"), "--out", at("run"), "--method", "lora", "--steps", "30"],
    ...["--batch", "8", "--learning-rate", "0.01", "--augment", "none", "--templates", "bare"],
  );
  expect(exitCode, stderr).toBe(0);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A picture's embedding by the base model with the adapters beside its layers, not merged. */
async function embeddedBeside(picture: string): Promise<Float32Array> {
  const { architecture, preprocessing, weights } = await readCheckpoint(at("base"));
  const adapter = await readAdapter(at("run", "adapter"));
  const model = new TwoTower(architecture);
  addAdapters(model, adapter, (name) => adapter.weights.has(`${name}.adapter.down`));
  const { size } = preprocessing;
  const embedding = model.embedImages(input("pixels", [1, size, size, 3], "uint8"));
  const program = await compile({
    outputs: { embedding },
    parameters: namedParameters(model),
    weights: new Map([...weights, ...adapter.weights]),
  });
  const pixels = preprocess(await decodeImage(picture), preprocessing);
  const outputs = await program.run(new Map([["pixels", pixels]]));
  await program.dispose();
  return outputs.embedding as Float32Array;
}

describe("florence models merge", () => {
  it("writes a full checkpoint that embeds as the model with its adapters does, to 1e-5", async () => {
    const words = ["models", "merge", at("run", "adapter"), "--model", at("base"), "--out", at("merged")];
    const { exitCode, stdout, stderr } = await run(...words, "--json");
    expect(exitCode, stderr).toBe(0);
    const merged = await loadModel(at("merged"));
    expect(jsonLines(stdout)[0]).toMatchObject({ folder: at("merged"), fingerprint: merged.fingerprint });
    const base = await loadModel(at("base"));
    let [largest, moved] = [0, 0];
    for (const colour of ["red", "green", "blue"]) {
      const picture = at("colours", "test", colour, "0.png");
      const beside = await embeddedBeside(picture);
      const decoded = [await decodeImage(picture)];
      const [own] = await merged.embedImages(decoded);
      const [before] = await base.embedImages(decoded);
      for (const [i, value] of own.entries()) {
        largest = Math.max(largest, Math.abs(value - beside[i]));
        moved = Math.max(moved, Math.abs(value - before[i]));
      }
    }
    expect(largest).toBeLessThan(1e-5);
    expect(moved).toBeGreaterThan(0.05); // else the adapters would have changed nothing
    const [text] = await merged.embedTexts(["red"]);
    expect(text).toEqual((await base.embedTexts(["red"]))[0]);
    await merged.dispose();
    await base.dispose();
    expect(await readFile(at("merged", "README.md"), "utf8")).toContain("rank 8, alpha 16");
    const again = await run(...words);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toContain("must not exist yet, it does. Add --force to replace it.");
    expect((await run(...words, "--force", "--precision", "float16")).exitCode).toBe(0);
  });

  it("replaces nothing that it reads, nor what holds it", async () => {
    for (const target of [at("run", "adapter"), at("run"), at("base"), `${at("base")}/`]) {
      const words = ["models", "merge", at("run", "adapter"), "--model", at("base"), "--out", target, "--force"];
      const { exitCode, stderr } = await run(...words);
      expect([exitCode, stderr]).toEqual([2, expect.stringContaining("must be apart from")]);
    }
    expect(await readAdapter(at("run", "adapter"))).toBeDefined();
    expect(await readFile(at("base", "config.json"), "utf8")).toContain("florence-model/1");
  });

  it("refuses adapters of another model, a folder without any, and options of merge elsewhere", async () => {
    const words = ["models", "merge", at("run", "adapter"), "--out", at("other")];
    const other = await run(...words, "--model", at("run", "model"));
    expect(other.stderr).toContain("Load the model that it was tuned from.");
    const none = await run("models", "merge", at("base"), "--out", at("other"));
    expect(none.stderr).toContain("adapter.json");
    const nowhere = await run(...words.slice(0, 3));
    expect(nowhere.stderr).toContain("--out DIR is needed");
    const stray = await run("models", "list", "--out", at("other"));
    expect(stray.stderr).toContain("--out is for merge");
    expect([other, none, nowhere, stray].map(({ exitCode }) => exitCode)).not.toContain(0);
    await expect(readFile(at("other", "config.json"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
