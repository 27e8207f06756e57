import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rgbImage } from "../../src/core/image.ts";
import { Rng } from "../../src/core/rng.ts";
import { cutoutFromRgba } from "../../src/data/composites/cutout.ts";
import { writeComposites } from "../../src/data/composites/write-composites.ts";
import { openDetectionSet } from "../../src/data/detection/open-detection-set.ts";
import { isDetectorFolder, readDetector } from "../../src/zoo/detector-files.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";
import { writeTinyModel } from "./tiny-model.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
let folder: string;

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

const recipe = {
  kind: "detector",
  name: "tiny-detector",
  seed: 3,
  encoder: "model",
  classes: "object",
  strides: [8, 16, 32], // of two levels, ATSS finds no anchor above its threshold for small objects
  width: 16,
  blocks: 1,
  groups: 4,
  side: 64,
  batch: 4,
  steps: 100,
  warmupSteps: 2,
  learningRate: 0.01,
  weightDecay: 0.01,
  clipNorm: 10,
  augmentation: "light",
  sources: [{ name: "discs", weight: 1 }],
  validation: [{ name: "discs" }, { name: "absent" }],
};

/** Bright discs on dark noise: 32 pictures to train on, 8 for validation. */
async function writeDiscs(target: string): Promise<void> {
  const rng = new Rng("discs");
  const cutouts = Array.from({ length: 40 }, (_, i) => {
    const rgba = Uint8Array.from({ length: 30 * 30 * 4 }, (_, at) => {
      const [x, y] = [(Math.floor(at / 4) % 30) - 14.5, Math.floor(at / 120) - 14.5];
      return at % 4 === 3 ? (Math.hypot(x, y) < 15 ? 255 : 0) : 215;
    });
    return { key: `discs/${i}`, name: `disc number ${i}`, cutout: cutoutFromRgba(30, 30, rgba) };
  });
  const backgrounds = Array.from({ length: 40 }, (_, i) => {
    const data = Uint8Array.from({ length: 80 * 80 * 3 }, () => rng.int(60));
    return { key: `noise number ${i}`, image: rgbImage(80, 80, data) };
  });
  const info = { description: "discs", cutouts: [{ licence: "CC0" }] };
  await writeComposites(target, { cutouts, backgrounds, count: 32, valCount: 8, side: 64, seed: 1, info });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-detector-"));
  await writeTinyModel(join(folder, "model"));
  await writeDiscs(join(folder, "data", "discs"));
}, 30_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function pretrainHere(name: string, changes: object) {
  await writeFile(join(folder, `${name}.json`), JSON.stringify({ ...recipe, ...changes }));
  const words = ["pretrain", join(folder, `${name}.json`), "--data", join(folder, "data"), "--out", join(folder, name)];
  return runFlorence([...words, "--json"], { loadModel, cacheFolder: join(folder, "cache") });
}

describe("pretrain with a detector's recipe", () => {
  it("learns, keeps the encoder frozen, and ends with scores, manifest and card", async () => {
    const { exitCode, stdout, stderr } = await pretrainHere("agnostic", {});
    expect(exitCode, stderr).toBe(0);
    const lines = jsonLines(stdout);
    const losses = lines.flatMap(({ loss }) => (typeof loss === "number" ? [loss] : []));
    expect(losses.length).toBe(100);
    expect(mean(losses.slice(-10))).toBeLessThan(0.8 * mean(losses.slice(0, 10)));
    const score = lines.at(-1)?.validation as {
      detector: { objects: number; ap50: number };
      random: { ap50: number };
    };
    expect(score.detector.ap50).toBeGreaterThan(0.1 + 2 * score.random.ap50);
    expect(stderr).toContain("not scored, since neither --data nor the cache has them: absent");
    const target = join(folder, "agnostic", "detector");
    const stored = await readDetector(target);
    expect(stored.classes).toEqual({ kind: "fixed", names: ["object"] });
    const before = await loadModel(join(folder, "model"));
    expect(stored.backbone).toEqual({ name: "tiny", fingerprint: before.fingerprint, frozen: true });
    await before.dispose();
    const set = await openDetectionSet(join(folder, "data", "discs"));
    const manifest = JSON.parse(await readFile(join(target, "data-manifest.json"), "utf8"));
    expect(manifest.sets[0]).toMatchObject({ name: "discs", fingerprint: set.fingerprint, pictures: 32, problems: 0 });
    const card = await readFile(join(target, "README.md"), "utf8");
    expect(card).toMatch(/\| discs, train \| 32 \| \d+ \| 100 % \| CC0 \|/);
    expect(card).toContain(`| discs, val | 8 | ${score.detector.objects} |`);
    expect(card).toContain("backbone: tiny, frozen");
  }, 30_000);

  it("teaches names by the texts' embeddings", async () => {
    const { exitCode, stderr } = await pretrainHere("named", {
      classes: "names",
      steps: 2,
      warmupSteps: 1,
      validation: [],
    });
    expect(exitCode, stderr).toBe(0);
    const stored = await readDetector(join(folder, "named", "detector"));
    expect(stored.architecture.classes).toEqual({ kind: "text", embedding: 8 });
    expect(stored.classes).toMatchObject({ kind: "text", templates: ["{}"], embedder: { name: "tiny" } });
  }, 30_000);

  it("refuses a wrong recipe and a missing set before it begins", async () => {
    const wrong = await pretrainHere("wrong", { side: "large" });
    expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining("wrong.json: side is not right")]);
    const both = await pretrainHere("both", { validation: [{ name: "discs", split: "train" }] });
    expect([both.exitCode, both.stderr]).toEqual([2, expect.stringContaining("must not be trained on and scored")]);
    const missing = await pretrainHere("missing", { sources: [{ name: "none", weight: 1 }] });
    expect([missing.exitCode, missing.stderr]).toEqual([
      4,
      expect.stringContaining("none: the recipe's set must be there"),
    ]);
    expect(await isDetectorFolder(join(folder, "missing", "detector"))).toBe(false);
  });
});

describe("label", () => {
  const words = (out: string) => {
    const photos = join(folder, "data", "discs", "train");
    const places = ["--detector", join(folder, "agnostic", "detector"), "--out", join(folder, out)];
    return ["label", photos, "--labels", "object", "--min-score", "0.01", ...places];
  };

  it("killed by SIGKILL in the middle, goes on to the same set as an unbroken run", async () => {
    const child: ChildProcess = spawn(process.execPath, ["--import", "tsx", main, ...words("killed"), "--json"]);
    let seen = "";
    child.stdout?.on("data", (bytes: Buffer) => {
      seen += bytes.toString();
      if (seen.split("\n").length > 6) child.kill("SIGKILL");
    });
    await new Promise((resolve) => child.on("close", resolve));
    expect((await readdir(join(folder, "killed"))).sort()).toEqual(["journal.jsonl", "lock"]); // no set yet
    const options = { loadModel, cacheFolder: join(folder, "cache") };
    const again = await runFlorence([...words("killed"), "--review", join(folder, "killed", "review.html")], options);
    expect(again.exitCode, again.stderr).toBe(0);
    expect(again.stderr).toMatch(/label: \d+ pictures were labelled before/);
    const whole = await runFlorence([...words("whole"), "--json"], options);
    const { summary } = jsonLines(whole.stdout).at(-1) as { summary: Record<string, unknown> };
    expect(summary).toMatchObject({ labelled: 32, earlier: 0, failed: 0, images: 32, format: "coco" });
    const sets = await Promise.all(["killed", "whole"].map((name) => openDetectionSet(join(folder, name, "dataset"))));
    const [boxes, others] = sets.map((set) =>
      set.splits.get("train")?.map(({ file, boxes }) => [file, boxes.map(({ box, extra }) => [...box, extra?.score])]),
    );
    expect(boxes).toEqual(others);
    expect(boxes?.reduce((sum, [, found]) => sum + (found?.length ?? 0), 0)).toBe(summary.boxes);
    expect(await readFile(join(folder, "killed", "review.html"), "utf8")).toContain("train-000032.jpg");
  }, 60_000);

  it("labels neither its own set within the folder, nor another folder into the same journal", async () => {
    const options = { loadModel, cacheFolder: join(folder, "cache") };
    const photos = join(folder, "own");
    await mkdir(photos);
    for (const name of ["train-000001.jpg", "train-000002.jpg"]) {
      await copyFile(join(folder, "data", "discs", "train", name), join(photos, name));
    }
    const wordsHere = (out: string, ...rest: string[]) => words("x").with(1, photos).with(-1, out).concat(rest);
    for (const [labelled, earlier] of [
      [2, 0],
      [0, 2],
    ]) {
      const run = await runFlorence(wordsHere(join(photos, "out"), "--json"), options);
      expect(run.exitCode, run.stderr).toBe(0);
      expect(jsonLines(run.stdout).at(-1)?.summary).toMatchObject({
        labelled,
        earlier,
        failed: 0,
        leftOut: 0,
        images: 2,
      });
    }
    expect(await readFile(join(photos, "out/journal.jsonl"), "utf8")).toMatch(/"bytes":\d+,"changedMs":\d/);
    const other = await runFlorence(words("x").with(-1, join(photos, "out")), options);
    expect([other.exitCode, other.stderr]).toEqual([5, expect.stringContaining("was begun with folder")]);
    const within = await runFlorence(
      words("x").with(1, join(photos, "out/dataset")).with(-1, join(photos, "out")),
      options,
    );
    expect([within.exitCode, within.stderr]).toEqual([2, expect.stringContaining("must not lie in <out>/dataset")]);
    await rm(join(photos, "train-000001.jpg"));
    const gone = await runFlorence(wordsHere(join(photos, "out"), "--json"), options);
    expect([gone.exitCode, jsonLines(gone.stdout).at(-1)?.summary]).toMatchObject([3, { leftOut: 1, images: 1 }]);
    expect(gone.stderr + gone.stdout).toContain("train-000001.jpg: must still be there");
  }, 30_000);

  it("names what it finds by another model, and refuses labels that a detector does not have", async () => {
    const options = { loadModel, cacheFolder: join(folder, "cache") };
    const named = words("named-boxes")
      .with(3, "red,green")
      .concat("--model", join(folder, "model"), "--format", "yolo");
    const { exitCode, stderr } = await runFlorence(named, options);
    expect(exitCode, stderr).toBe(0);
    expect((await openDetectionSet(join(folder, "named-boxes", "dataset"))).classes).toEqual(["red", "green"]);
    const other = await runFlorence(words("whole").concat("--min-score", "0.5"), options);
    expect([other.exitCode, other.stderr]).toEqual([5, expect.stringContaining("was begun with minScore 0.01")]);
  }, 30_000);
});
