import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeImage } from "../../src/io/images.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { makeGoldenVectors } from "../../src/zoo/golden-vectors.ts";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-models-"));
  const checkpoint = join(folder, "toy");
  await mkdir(checkpoint);
  const tensors = new Map([
    ["a", { shape: [3, 4], data: new Float32Array(12) }],
    ["b", { shape: [5], data: new Float32Array(5) }],
  ]);
  await writeSafetensors(join(checkpoint, "model.safetensors"), tensors, { dtype: "F16", metadata: {} });
  await writeFile(join(checkpoint, "config.json"), JSON.stringify({ embedDim: 8 }));
  await writeFile(join(checkpoint, "README.md"), '---\nlicense: mit\ntop-1: "31.5 %"\ntags:\n  - tiny\n---\n# Toy\n');
  await writePicture(join(checkpoint, "picture.png"), "#4080c0");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(...words: string[]) {
  return runFlorence(words, { loadModel: async () => toyModel(), cacheFolder: join(folder, "cache") });
}

describe("florence models", () => {
  it("shows a checkpoint folder: parameters counted, card facts, configuration", async () => {
    const { exitCode, stdout } = await run("models", "show", join(folder, "toy"), "--json");
    expect(jsonLines(stdout)).toEqual([
      {
        name: join(folder, "toy"),
        folder: join(folder, "toy"),
        parameters: 17,
        bytes: expect.any(Number),
        config: { embedDim: 8 },
        card: { license: "mit", "top-1": "31.5 %" },
      },
    ]);
    expect(exitCode).toBe(0);
    expect((await run("models", "show", join(folder, "toy"))).stdout).toMatch(/^parameters {2}17 /m);
  });

  it("names what is wrong with a model", async () => {
    expect(await run("models", "show", "nowhere")).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining("nowhere"),
    });
    expect(await run("models", "show")).toMatchObject({ exitCode: 2 });
    await writeFile(join(folder, "toy/config.json"), "{");
    expect(await run("models", "show", join(folder, "toy"))).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining("config.json: must be JSON"),
    });
  });
});

describe("florence doctor", () => {
  const checkNames = ["node", "onnxruntime", "sharp", "threads", "memory", "cache folder", "model", "golden vectors"];
  const golden = async () =>
    makeGoldenVectors(toyModel(), ["picture.png"], ["red", "white"], (path) => decodeImage(join(folder, "toy", path)));

  it("finds everything in order when it is", async () => {
    await writeFile(join(folder, "toy/golden.json"), JSON.stringify(await golden()));
    const { exitCode, stdout } = await run("doctor", "--model", join(folder, "toy"), "--json");
    const results = jsonLines(stdout);
    expect(results.map(({ check }) => check)).toEqual(checkNames);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.at(-1)?.detail).toContain("3 compared, lowest cosine 1.000000");
    expect(exitCode).toBe(0);
  });

  it("fails when embeddings differ from the published ones", async () => {
    const published = await golden();
    published.texts[1].embedding[0] += 0.1;
    await writeFile(join(folder, "toy/golden.json"), JSON.stringify(published));
    const { exitCode, stdout } = await run("doctor", "--model", join(folder, "toy"));
    expect(stdout).toMatch(/^FAIL {2}golden vectors: 3 compared, lowest cosine 0\.99\d+ \("white"\)/m);
    expect(exitCode).toBe(1);
  });

  it("fails when the cache cannot be written, and says so when a model publishes no vectors", async () => {
    await writeFile(join(folder, "cache"), "a file where the folder should be");
    const { exitCode, stdout } = await run("doctor", "--model", join(folder, "toy"));
    expect(stdout).toMatch(/^FAIL {2}cache folder: /m);
    expect(stdout).toMatch(/^ok {4}golden vectors: none published/m);
    expect(exitCode).toBe(1);
  });
});
