import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMetrics } from "../../src/training/metrics-log.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { type CliResult, runFlorence } from "./run-florence.ts";
import { tinyRecipe, writeTinySentenceEncoder, writeTinyShard } from "./tiny-pretraining.ts";

const steps = 12;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
let folder = "";
let unbroken: number[][] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-pretrain-"));
  await writeTinySentenceEncoder(join(folder, "encoder"));
  for (const name of ["first", "second"]) await writeTinyShard(join(folder, "shards", name), name);
  await writeRecipe("recipe.json", tinyRecipe(steps));
  const { exitCode, stderr } = await spawnPretraining("unbroken");
  expect(exitCode, stderr).toBe(0);
  unbroken = await lossesOf("unbroken");
}, 60_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const writeRecipe = (name: string, recipe: unknown) => writeFile(join(folder, name), JSON.stringify(recipe));

function wordsFor(run: string, recipe = "recipe.json", shards = "shards"): string[] {
  const places = ["--out", join(folder, run), "--shards", join(folder, shards)];
  return ["pretrain", join(folder, recipe), ...places, "--checkpoint-minutes", "0", "--json"];
}

/** The command line as a process of its own; `onLine` learns how many lines are on stdout so far. */
function spawnPretraining(run: string, onLine?: (lines: number, child: ChildProcess) => void): Promise<CliResult> {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...wordsFor(run)]);
  const output = { stdout: "", stderr: "" };
  let lines = 0;
  child.stdout.on("data", (bytes: Buffer) => {
    output.stdout += bytes.toString();
    for (const found = output.stdout.split("\n").length - 1; lines < found; ) {
      lines++;
      onLine?.(lines, child);
    }
  });
  child.stderr.on("data", (bytes: Buffer) => {
    output.stderr += bytes.toString();
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, ...output }));
  });
}

/** The same inside this process, where neither signals nor a fresh start matter. */
const runHere = (words: readonly string[]) => runFlorence(words, { loadModel, cacheFolder: join(folder, "cache") });

async function lossesOf(run: string): Promise<number[][]> {
  const stages = ["stage-0-small", "stage-1-large"];
  const logs = await Promise.all(stages.map((stage) => readMetrics(join(folder, run, stage, "metrics.jsonl"))));
  return logs.map((records) => records.map(({ loss }) => loss as number));
}

describe("florence pretrain", () => {
  it("logs every step of each stage and learns", () => {
    expect(unbroken.map((losses) => losses.length)).toEqual([steps, steps]);
    expect(unbroken.flat().every(Number.isFinite)).toBe(true);
    const mean = (losses: readonly number[]) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    expect(mean(unbroken[1].slice(-4))).toBeLessThan(mean(unbroken[0].slice(0, 4)));
  });

  it("leaves a model that loads and embeds pictures and texts to unit vectors", async () => {
    const model = await loadModel(join(folder, "unbroken", "model"));
    try {
      const data = Uint8Array.from({ length: 30 * 20 * 3 }, (_, i) => i % 256);
      const [[image], [text]] = [
        await model.embedImages([{ width: 30, height: 20, data }]),
        await model.embedTexts(["red dot"]),
      ];
      for (const vector of [image, text]) {
        expect(vector).toHaveLength(8);
        expect(Math.hypot(...vector)).toBeCloseTo(1, 4);
      }
    } finally {
      await model.dispose();
    }
  });

  it.each([
    ["first", 5],
    ["second", steps + 6],
  ])("goes on after a kill in the %s stage to exactly the unbroken run's losses", async (stage, line) => {
    const run = `killed-in-${stage}`;
    const killed = await spawnPretraining(run, (lines, child) => lines === line && child.kill("SIGKILL"));
    expect(killed.exitCode).toBeNull();
    expect((await lossesOf(run)).flat().length).toBeLessThan(2 * steps);
    const resumed = await spawnPretraining(run);
    expect(resumed.exitCode, resumed.stderr).toBe(0);
    expect(await lossesOf(run)).toEqual(unbroken);
  });

  it("saves a checkpoint at SIGINT, answers 130, and goes on to the same losses", async () => {
    const run = "interrupted";
    const stopped = await spawnPretraining(run, (lines, child) => lines === 4 && child.kill("SIGINT"));
    expect(stopped.exitCode, stopped.stderr).toBe(130);
    expect(stopped.stderr).not.toContain("internal error");
    const saved = (await readdir(join(folder, run, "stage-0-small"))).filter((name) => /^checkpoint-\d+$/.test(name));
    expect(saved.length).toBeGreaterThan(0);
    const resumed = await spawnPretraining(run);
    expect(resumed.exitCode, resumed.stderr).toBe(0);
    expect(await lossesOf(run)).toEqual(unbroken);
  });

  it("trains to the same losses through a gradient cache", async () => {
    await writeRecipe("chunked.json", { ...tinyRecipe(steps), chunk: 4 });
    const { exitCode, stderr } = await runHere(wordsFor("chunked", "chunked.json"));
    expect(exitCode, stderr).toBe(0);
    const expected = unbroken.flat();
    for (const [i, loss] of (await lossesOf("chunked")).flat().entries()) {
      expect(Math.abs(loss - expected[i]), `step ${i}`).toBeLessThan(1e-4);
    }
  });

  it("trains a CLIP text transformer from random weights, and the model it leaves loads", async () => {
    await writeFile(join(folder, "merges.txt"), "#version: 0.2\nr e\nre d</w>\nd o\ndo t</w>\nnot among the 4\n");
    const textTransformer = { merges: "merges.txt", mergeCount: 4, width: 16, heads: 2, layers: 1, activation: "gelu" };
    const { textWeights: _, ...rest } = tinyRecipe(3);
    await writeRecipe("from-scratch.json", { ...rest, freezeText: false, textTransformer });
    const { exitCode, stderr } = await runHere(wordsFor("from-scratch", "from-scratch.json"));
    expect(exitCode, stderr).toBe(0);
    const model = await loadModel(join(folder, "from-scratch", "model"));
    try {
      const [red, dot] = await model.embedTexts(["red dot", "blue bar"]);
      expect(Math.hypot(...red)).toBeCloseTo(1, 4);
      expect(red).not.toEqual(dot);
    } finally {
      await model.dispose();
    }
  });

  it("refuses to make a stage longer whose followers are done, and goes on when they are deleted", async () => {
    const run = "lengthened";
    await cp(join(folder, "unbroken"), join(folder, run), { recursive: true });
    const recipe = tinyRecipe(steps);
    recipe.stages[0].steps = steps + 2;
    await writeRecipe("longer.json", recipe);
    const refused = await runHere(wordsFor(run, "longer.json"));
    expect(refused.exitCode).toBe(5);
    expect(refused.stderr).toContain(`Delete ${join(folder, run, "stage-1-large")} to train again`);
    await rm(join(folder, run, "stage-1-large"), { recursive: true });
    const { exitCode, stderr } = await runHere(wordsFor(run, "longer.json"));
    expect(exitCode, stderr).toBe(0);
    const losses = await lossesOf(run);
    expect(losses.map(({ length }) => length)).toEqual([steps + 2, steps]);
    expect(losses[0].slice(0, steps)).toEqual(unbroken[0]);
    expect(losses[1]).not.toEqual(unbroken[1]);
    const shortened = await runHere(wordsFor(run)); // its first stage has more steps than the recipe now says
    expect([shortened.exitCode, shortened.stderr]).toEqual([5, expect.stringContaining("stage-1-large")]);
  });

  it("refuses other data under the same name, other texts alone included, and takes the same data again", async () => {
    const run = "other-data";
    await cp(join(folder, "unbroken"), join(folder, run), { recursive: true });
    await cp(join(folder, "shards"), join(folder, "same"), { recursive: true });
    const again = await runHere(wordsFor(run, "recipe.json", "same"));
    expect(again.exitCode, again.stderr).toBe(0);
    await cp(join(folder, "shards"), join(folder, "reworded"), { recursive: true });
    const rows = join(folder, "reworded", "second", "rows.jsonl");
    await writeFile(rows, (await readFile(rows, "utf8")).replace("red dot", "red spot"));
    const reworded = await runHere(wordsFor(run, "recipe.json", "reworded"));
    expect(reworded.exitCode).toBe(5);
    expect(reworded.stderr).toContain("stage-0-small, ");
    await cp(join(folder, "shards"), join(folder, "damaged"), { recursive: true });
    const pixels = join(folder, "damaged", "second", "images.bin");
    await writeFile(pixels, (await readFile(pixels)).fill(7, 0, 9));
    const damaged = await runHere(wordsFor(run, "recipe.json", "damaged"));
    expect([damaged.exitCode, damaged.stderr]).toEqual([5, expect.stringContaining(pixels)]);
    expect(await lossesOf(run)).toEqual(unbroken);
  });

  it("refuses a second process in the run's folder at once, naming the first, and loses nothing", async () => {
    const run = "contested";
    let second: CliResult | undefined;
    let asked: Promise<unknown> | undefined;
    let pid: number | undefined;
    const first = await spawnPretraining(run, (lines, child) => {
      if (lines !== 2) return;
      pid = child.pid;
      asked = runHere(wordsFor(run)).then((result) => {
        second = result;
      });
    });
    await asked;
    expect(second?.exitCode).toBe(4);
    expect(second?.stderr).toContain(`${join(folder, run)}: must be used by one run at a time`);
    expect(second?.stderr).toContain(`process ${pid}`);
    expect(first.exitCode, first.stderr).toBe(0);
    expect(await lossesOf(run)).toEqual(unbroken);
  });

  it("refuses a set for evaluation, and more names of a later stage than there are, before anything is trained", async () => {
    await cp(join(folder, "shards"), join(folder, "held-out"), { recursive: true });
    const path = join(folder, "held-out", "second", "manifest.json");
    const manifest = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    for (const change of [{ role: "evaluation" }, { recipe: "second, evaluation, 16×16, crop" }]) {
      await writeFile(path, JSON.stringify({ ...manifest, ...change }));
      const { exitCode, stderr } = await runHere(wordsFor("untrained", "recipe.json", "held-out"));
      expect([exitCode, stderr]).toEqual([2, expect.stringContaining("got one for evaluation")]);
    }
    const recipe = tinyRecipe(steps);
    await writeRecipe("many-names.json", {
      ...recipe,
      stages: [recipe.stages[0], { ...recipe.stages[1], extraTexts: { first: 7 } }],
    });
    const { exitCode, stderr } = await runHere(wordsFor("untrained", "many-names.json"));
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("at most the 6 different names")]);
    expect(await readdir(join(folder, "untrained"))).toEqual([]);
  });

  it.each([
    ["no text tower", "textWeights or textTransformer", { ...tinyRecipe(2), textWeights: undefined }],
    ["a chunk that does not divide the batch", "chunk", { ...tinyRecipe(2), chunk: 5 }],
    ["a rate that is a text", "stages.0.learningRate", withStage({ learningRate: "fast" })],
    ["a warm-up longer than its stage", "warmupSteps", withStage({ warmupSteps: 3 })],
    ["a final rate above the rate", "finalLearningRate", withStage({ finalLearningRate: 1 })],
    ["crops from large to small", "crop.scale", withStage({ augment: { crop: { scale: [1, 0.6] } } })],
    ["crops of nothing", "crop.scale", withStage({ augment: { crop: { scale: [0, 1] } } })],
    ["crops beyond the picture", "crop.scale", withStage({ augment: { crop: { scale: [0.5, 1.5] } } })],
    ["crops of no width", "crop.aspect", withStage({ augment: { crop: { scale: [0.5, 1], aspect: [0, 1] } } })],
    ["a field nobody knows", "momentun", { ...tinyRecipe(2), momentun: 1 }],
    ["an unknown schedule", "stages.0.schedule", withStage({ schedule: "zigzag" })],
  ])("refuses a recipe with %s, naming %s", async (_what, field, recipe) => {
    await writeRecipe("bad.json", recipe);
    const { exitCode, stderr } = await runHere(wordsFor("refused", "bad.json"));
    expect(exitCode).toBe(2);
    expect(stderr).toContain(field);
    expect(stderr).toContain("bad.json");
    expect(stderr).not.toContain("internal error");
  });

  it("names the shards that are missing", async () => {
    const { exitCode, stderr } = await runHere(wordsFor("no-shards", "recipe.json", "elsewhere"));
    expect(exitCode).toBe(4);
    expect(stderr).toContain(join("elsewhere", "first"));
    expect(stderr).not.toContain("internal error");
  });
});

function withStage(change: Record<string, unknown>) {
  const recipe = tinyRecipe(2);
  return { ...recipe, stages: recipe.stages.map((stage) => ({ ...stage, ...change })) };
}
