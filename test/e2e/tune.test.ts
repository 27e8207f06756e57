import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { decodeImage } from "../../src/io/images.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import { TunedClassifier } from "../../src/tasks/fine-tune/tuned-classifier.ts";
import { applyAdapter, readAdapter, saveAdapter } from "../../src/zoo/adapter-files.ts";
import { readCheckpoint } from "../../src/zoo/checkpoint-formats.ts";
import { readClassifier } from "../../src/zoo/classifier-files.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { type CliResult, jsonLines, runFlorence } from "./run-florence.ts";
import { writeColourSet, writeTinyModel } from "./tiny-model.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-tune-"));
  await writeTinyModel(join(folder, "base"));
  await writeColourSet(join(folder, "colours"), 12);
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

const common = ["--batch", "8", "--learning-rate", "0.01", "--augment", "none", "--templates", "bare", "--json"];

const wordsFor = (run: string, ...more: string[]): string[] => [
  ...["tune", join(folder, "colours"), "--model", join(folder, "base"), "--out", join(folder, run)],
  ...common,
  ...more,
];

const tuneHere = (run: string, ...more: string[]): Promise<CliResult> =>
  runFlorence(wordsFor(run, ...more), { loadModel, cacheFolder: join(folder, "cache") });

async function tuned(run: string, ...more: string[]): Promise<Record<string, unknown>[]> {
  const { exitCode, stdout, stderr } = await tuneHere(run, ...more);
  expect(exitCode, stderr).toBe(0);
  return jsonLines(stdout);
}

const tensorsOf = async (run: string) =>
  (await readSafetensors(join(folder, run, run === "base" ? "" : "model", "model.safetensors"))).tensors;

type Score = { value: number; measure: string; count: number };
type Summary = {
  model: string;
  alpha: number;
  test: { before: Score; after: Score; plain: Score };
  controlLoss?: number;
};
const summaryOf = (lines: Record<string, unknown>[]) => lines.at(-1) as unknown as Summary;

describe("a set without a test part", () => {
  it("is scored on pictures that tuning has not seen; what it has seen is marked", async () => {
    await writeColourSet(join(folder, "many"), 30);
    await cp(join(folder, "many/train"), join(folder, "undivided"), { recursive: true });
    const run = (...words: string[]) =>
      runFlorence([...words, "--ledger", join(folder, "undivided.jsonl"), "--json"], {
        loadModel,
        cacheFolder: join(folder, "cache"),
      });
    const words = ["tune", join(folder, "undivided"), "--model", join(folder, "base"), "--out", join(folder, "seen")];
    const cacheFolder = join(folder, "cache");
    const tuning = await runFlorence([...words, ...common, "--steps", "4"], { loadModel, cacheFolder });
    expect(tuning.exitCode, tuning.stderr).toBe(0);
    const model = join(folder, "seen/model");
    const report = JSON.parse(await readFile(join(model, "tuning.json"), "utf8"));
    const { train, validation } = report.data;
    const test = summaryOf(jsonLines(tuning.stdout)).test.after.count;
    expect(train + validation + test).toBe(90);
    expect([report.data.division, report.data.heldOut, test > 9]).toEqual(["as evaluated", 0.2, true]);

    const evalHere = ["eval", "zero-shot", join(folder, "undivided"), "--model", model];
    const scored = await run(...evalHere);
    expect(jsonLines(scored.stdout)[0]).toMatchObject({ n: test });
    expect((jsonLines(scored.stdout)[0].protocol as object) ?? {}).not.toHaveProperty("tunedOn");
    expect(scored.stderr).not.toContain("was tuned on");
    const seen = await run(...evalHere, "--split", "all");
    expect(jsonLines(seen.stdout)[0].protocol).toMatchObject({ tunedOn: `${train} of 90` });
    expect(seen.stderr).toContain(`was tuned on ${train} of 90 pictures of split "all"`);

    const out = join(folder, "undivided.calibration.json");
    const calibrated = await run("calibrate", join(folder, "undivided"), "--model", model, "--out", out);
    expect(calibrated.stderr).toContain(`${train} pictures that the model was tuned on are not fitted on`);
    expect(jsonLines(calibrated.stdout)[0]).toMatchObject({ fitted: { pictures: validation } });

    // A report of before, when a tenth was held out and the rest trained on.
    delete report.data.division;
    await writeFile(join(model, "tuning.json"), JSON.stringify(report));
    const before = await run(...evalHere);
    expect((jsonLines(before.stdout)[0].protocol as { tunedOn: string }).tunedOn).toMatch(`of ${test}`);
  });
});

describe("florence tune", () => {
  it("contrastive: learns the classes from their names, leaves the text tower to the bit, and the model loads", async () => {
    const lines = await tuned("contrastive", "--steps", "40");
    const losses = lines.flatMap(({ loss }) => (typeof loss === "number" ? [loss] : []));
    expect(losses).toHaveLength(40);
    const { model: saved, test } = summaryOf(lines);
    expect(test.after).toEqual({ measure: "top-1", value: 1, count: 36 });
    expect(test.before.value).toBeLessThan(0.8);
    const [before, after] = [await tensorsOf("base"), await tensorsOf("contrastive")];
    for (const [name, { data }] of before) {
      const isFrozen = name.startsWith("text");
      expect(
        data.every((value, i) => value === after.get(name)?.data[i]),
        name,
      ).toBe(isFrozen);
    }
    const model = await loadModel(saved);
    const [red] = await model.embedImages([await decodeImage(join(folder, "colours", "test", "red", "0.png"))]);
    const texts = await model.embedTexts(["red", "green", "blue"]);
    const scores = texts.map((text) => text.reduce((sum, value, i) => sum + value * red[i], 0));
    expect(scores.indexOf(Math.max(...scores))).toBe(0);
    await model.dispose();
    const card = await readFile(join(saved, "README.md"), "utf8");
    expect(card).toContain("top-1");
    expect((await stat(join(folder, "contrastive", "loss-curve.png"))).size).toBeGreaterThan(1000);
  });

  it.each(["zero-shot", "random"])("head from a %s start: classifies without labels being given", async (start) => {
    const run = `head-${start}`;
    const { test } = summaryOf(await tuned(run, "--method", "head", "--steps", "40", "--head-start", start));
    expect(test.after.value).toBe(1);
    const classifier = await readClassifier(join(folder, run, "model"));
    expect(classifier?.classes).toEqual(["blue", "green", "red"]);
    expect(classifier?.input.kind).toBe(start === "random" ? "pooled" : "embedding");
    if (classifier && start === "zero-shot") {
      const model = await loadModel(join(folder, run, "model"));
      const [green] = await model.embedImages([await decodeImage(join(folder, "colours", "test", "green", "3.png"))]);
      expect(new TunedClassifier(classifier).classify(green)[0].label).toBe("green");
      await model.dispose();
    }
    expect(await readClassifier(join(folder, "base"))).toBeUndefined();
  });

  it.each(["contrastive", "head"])("%s with muon: learns, on another way than AdamW, and says so", async (method) => {
    const run = `muon-${method}`;
    const words = ["--method", method, "--steps", "20", "--optimizer", "muon", "--matrix-rate", "2"];
    const { test } = summaryOf(await tuned(run, ...words));
    expect(test.after.value).toBe(1);
    const { recipe } = JSON.parse(await readFile(join(folder, run, "model", "tuning.json"), "utf8"));
    expect(recipe).toMatchObject({ optimizer: "muon", matrixRateScale: 2 });
  });

  it("refuses muon for adapters", async () => {
    const { exitCode, stderr } = await tuneHere("muon-lora", "--method", "lora", "--optimizer", "muon");
    expect(exitCode).toBe(2);
    expect(stderr).toContain("optimizer must be adamw for lora");
  });

  it("head with a frozen tower: the whole model stays as it is", async () => {
    await tuned("head-frozen", "--method", "head", "--steps", "5", "--freeze-image");
    expect(await readFile(join(folder, "head-frozen", "model", "model.safetensors"))).toEqual(
      await readFile(join(folder, "base", "model.safetensors")),
    );
  });

  it("head from a probe: begins with what logistic regression on the training pictures knows", async () => {
    const lines = await tuned("probed", "--method", "head", "--head-start", "probe", "--steps", "2");
    const { test } = summaryOf(lines);
    expect(test.before).toEqual({ measure: "top-1", value: 1, count: 36 }); // by names it is below 0.8
    expect(test.after.value).toBeGreaterThan(0.9);
    const classifier = await readClassifier(join(folder, "probed", "model"));
    expect(classifier?.input).toEqual({ kind: "pooled" });
  });

  it("lora: trains adapters alone, saves them apart, and the merged model is theirs", async () => {
    const lines = await tuned("lora", "--method", "lora", "--steps", "60", "--rank", "4");
    const { test, alpha } = summaryOf(lines);
    expect(alpha).toBe(1);
    expect(test.after.value).toBeGreaterThan(test.before.value);
    const base = await readCheckpoint(join(folder, "base"));
    const { fingerprint } = await loadModel(join(folder, "base"));
    const path = join(folder, "lora", "adapter");
    const applied = await applyAdapter(path, { ...base, fingerprint });
    const merged = (await readCheckpoint(join(folder, "lora", "model"))).weights;
    const adapter = await readAdapter(path);
    for (const [name, values] of applied) {
      const isAdapted = adapter.weights.has(name.replace(/weight$/, "adapter.down"));
      const difference = values.reduce(
        (most, v, i) => Math.max(most, Math.abs(v - (merged.get(name) as Float32Array)[i])),
        0,
      );
      expect(difference, name).toBeLessThan(isAdapted ? 1e-3 : 1e-12); // the model is stored in float16
      const changed = values.some((value, i) => value !== base.weights.get(name)?.[i]);
      expect(changed, name).toBe(isAdapted);
    }
    const strange = applyAdapter(path, { ...base, fingerprint: "another" });
    await expect(strange).rejects.toThrow(UserError);
    await expect(strange).rejects.toMatchObject({ code: "mismatch" });
    await saveAdapter(join(folder, "copy"), adapter);
    expect(await readAdapter(join(folder, "copy"))).toEqual(adapter);
  });

  it("wise-ft: both ends are the two models, and the kept mixture is the one scored", async () => {
    const control = ["--control", join(folder, "colours"), "--steps", "10"];
    const lines = await tuned("wise", ...control, "--wise-ft", "best");
    const mixtures = lines.filter((line) => "validation" in line) as unknown as {
      alpha: number;
      validation: Score;
      control: Score;
    }[];
    expect(mixtures.map(({ alpha }) => alpha)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    const { test, alpha } = summaryOf(lines);
    expect(mixtures[0].control.value).toBe(test.before.value);
    expect(mixtures.find((mixture) => mixture.alpha === alpha)?.control.value).toBe(test.after.value);
    expect(mixtures[10].control.value).toBe(test.plain.value);
    const { gainShare } = lines.at(-1) as unknown as { gainShare?: number };
    const gain = mixtures[10].control.value - test.before.value;
    const expected = gain > 0 ? (test.after.value - test.before.value) / gain : undefined;
    if (expected === undefined) expect(gainShare).toBeUndefined();
    else expect(gainShare).toBeCloseTo(expected, 12);
    const card = await readFile(join(folder, "wise", "model", "README.md"), "utf8");
    expect(card).toContain("| α | validation top-1 | of the plain gain | colours, zero-shot | change |");
    await tuned("wise-none", "--steps", "10", "--wise-ft", "0");
    const unchanged = await readFile(join(folder, "wise-none", "model", "model.safetensors"));
    expect(unchanged).toEqual(await readFile(join(folder, "base", "model.safetensors")));
    await tuned("wise-all", "--steps", "10", "--wise-ft", "1");
    await tuned("plain", "--steps", "10");
    expect(await tensorsOf("wise-all")).toEqual(await tensorsOf("plain"));
  });

  it("fails where the control score falls by more than was allowed, and warns where nothing was said", async () => {
    // Another order of the classes: what is learnt as red is forgotten as blue.
    const other = join(folder, "renamed");
    for (const [from, to] of [
      ["red", "blue"],
      ["green", "red"],
      ["blue", "green"],
    ]) {
      await cp(join(folder, "colours", "test", from), join(other, "test", to), { recursive: true });
    }
    const watched = ["--steps", "40", "--control", other];
    const warned = await tuneHere("warned", ...watched);
    expect(warned.exitCode).toBe(0);
    const { controlLoss = 0 } = summaryOf(jsonLines(warned.stdout));
    expect(controlLoss).toBeGreaterThan(0.2); // three classes right by chance before, none after
    expect(warned.stderr).toContain("Warning: the score on renamed fell by");
    const failed = await tuneHere("failed", ...watched, "--max-loss", "0.05");
    expect(failed.exitCode).toBe(1);
    expect(failed.stderr).toContain("5.0 points were allowed");
    const kept = await tuneHere("kept", ...watched, "--max-loss", "0.05", "--wise-ft", "best");
    expect(kept.exitCode, kept.stderr).toBe(0);
    expect(summaryOf(jsonLines(kept.stdout)).controlLoss).toBeLessThanOrEqual(0.05);
  });

  it("anchor: keeps pictures nearer to where the original has them", async () => {
    const names = ["red", "green", "blue"].map((name) => join(folder, "colours", "test", name, "0.png"));
    const pictures = await Promise.all(names.map((name) => decodeImage(name)));
    const embed = async (path: string) => {
      const model = await loadModel(path);
      const embeddings = await model.embedImages(pictures);
      await model.dispose();
      return embeddings;
    };
    const original = await embed(join(folder, "base"));
    const cosineAfter = async (run: string, ...more: string[]) => {
      await tuned(run, "--steps", "15", ...more);
      const rows = await embed(join(folder, run, "model"));
      return rows.reduce((sum, row, i) => sum + row.reduce((a, v, k) => a + v * original[i][k], 0), 0) / rows.length;
    };
    const free = await cosineAfter("free");
    const held = await cosineAfter("held", "--anchor", "100");
    expect(held).toBeGreaterThan(0.9);
    expect(held).toBeGreaterThan(free + 0.05);
  });

  it("tunes on captions, and scores by recall", async () => {
    const table = join(folder, "captions");
    await cp(join(folder, "colours", "train"), table, { recursive: true });
    const rows = ["red", "green", "blue"].flatMap((name) =>
      Array.from({ length: 12 }, (_, i) => ({
        file_name: `${name}/${i}.png`,
        captions: [`a ${name} field`, `all ${name}`],
      })),
    );
    await writeFile(join(table, "metadata.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const words = ["tune", table, "--model", join(folder, "base"), "--out", join(folder, "captioned"), ...common];
    const result = await runFlorence([...words, "--steps", "10", "--tune-text"], {
      loadModel,
      cacheFolder: join(folder, "cache"),
    });
    expect(result.exitCode, result.stderr).toBe(0);
    const mixture = jsonLines(result.stdout).find((line) => "validation" in line);
    expect(mixture?.validation).toMatchObject({ measure: "recall@1" });
    const [before, after] = [await tensorsOf("base"), await tensorsOf("captioned")];
    expect(before.get("textEncoder.blocks.0.fc1.weight")).not.toEqual(after.get("textEncoder.blocks.0.fc1.weight"));
  });

  it.each([
    [["--method", "head", "--tune-text"], "tuneText"],
    [["--mixup", "0.5"], "mixup"],
    [["--freeze-image"], "tuneImage"],
    [["--method", "lora", "--layers", "nothing"], "lora.layers"],
    [["--method", "head", "--head-start", "random", "--wise-ft", "0.5"], "random"],
    [["--chunk", "3"], "chunk"],
    [["--method", "head", "--anchor", "1"], "anchor"],
  ])("refuses %j, naming it", async (words, subject) => {
    const { exitCode, stderr } = await tuneHere("refused", ...words);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(subject);
    expect(stderr).not.toContain("internal error");
  });

  it("goes on after a kill to the very weights of an unbroken run", async () => {
    const words = (run: string) => [...wordsFor(run, "--steps", "10", "--checkpoint-minutes", "0"), "--average", "0.9"];
    const whole = await runFlorence(words("whole"), { loadModel, cacheFolder: join(folder, "cache") });
    expect(whole.exitCode, whole.stderr).toBe(0);
    const killed = await spawnTuning(words("killed"), (child) => child.kill("SIGKILL"));
    expect(killed.exitCode).toBeNull();
    const stopped = await spawnTuning(words("killed"), (child) => child.kill("SIGINT"));
    expect(stopped.exitCode, stopped.stderr).toBe(130);
    const resumed = await runFlorence(words("killed"), { loadModel, cacheFolder: join(folder, "cache") });
    expect(resumed.exitCode, resumed.stderr).toBe(0);
    const first = jsonLines(resumed.stdout)[0];
    expect(first.step).toBeGreaterThan(1);
    expect(await tensorsOf("killed")).toEqual(await tensorsOf("whole"));
  });
});

/** The command line as a process of its own; `act` is called once, at its third step. */
function spawnTuning(words: readonly string[], act: (child: ChildProcess) => void): Promise<CliResult> {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...words], {
    env: { ...process.env, FLORENCE_CACHE: join(folder, "cache") },
  });
  const output = { stdout: "", stderr: "" };
  let acted = false;
  child.stdout.on("data", (bytes: Buffer) => {
    output.stdout += bytes.toString();
    if (acted || output.stdout.split("\n").length < 4) return;
    acted = true;
    act(child);
  });
  child.stderr.on("data", (bytes: Buffer) => {
    output.stderr += bytes.toString();
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, ...output }));
  });
}
