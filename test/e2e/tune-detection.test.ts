import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { readLedger } from "../../src/evaluation/ledger.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import { classAgnostic } from "../../src/models/detection/detector.ts";
import { initialWeights } from "../../src/nn/module.ts";
import { saveDetector } from "../../src/zoo/detector-files.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { tinyDetector } from "../support/tiny-detector.ts";
import { type CliResult, jsonLines, runFlorence } from "./run-florence.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const side = 64;
const colours = { red: [220, 40, 40], green: [40, 200, 60] } as const;
let folder = "";

/** Grey noise with two or three filled rectangles, the class being the colour, as a COCO export of train and test. */
async function writeRectangles(root: string, count: number): Promise<void> {
  const rng = new Rng("rectangles");
  for (const split of ["train", "test"]) {
    await mkdir(join(root, split), { recursive: true });
    const [images, annotations] = [[] as object[], [] as object[]];
    for (let i = 0; i < count; i++) {
      const data = Uint8Array.from({ length: side * side * 3 }, () => 110 + rng.int(40));
      for (const [left, top] of [
        [2, 2],
        [34, 4],
        [6, 34],
      ].slice(0, 2 + rng.int(2))) {
        const [x, y, width, height] = [left + rng.int(6), top + rng.int(6), 12 + rng.int(12), 12 + rng.int(12)];
        const own = rng.int(2);
        const colour = Object.values(colours)[own] as readonly number[];
        for (let row = y; row < y + height; row++) {
          for (let column = x; column < x + width; column++) data.set(colour, 3 * (row * side + column));
        }
        const box = { bbox: [x, y, width, height], area: width * height, iscrowd: 0 };
        annotations.push({ id: annotations.length + 1, image_id: i, category_id: own, ...box });
      }
      images.push({ id: i, file_name: `${i}.png`, width: side, height: side });
      await sharp(data, { raw: { width: side, height: side, channels: 3 } }).toFile(join(root, split, `${i}.png`));
    }
    const categories = Object.keys(colours).map((name, id) => ({ id, name }));
    await writeFile(join(root, split, "_annotations.coco.json"), JSON.stringify({ images, annotations, categories }));
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-tune-detection-"));
  await writeRectangles(join(folder, "boxes"), 20);
  const detector = tinyDetector(side, classAgnostic);
  await saveDetector(join(folder, "start"), {
    name: "start",
    architecture: detector.config,
    weights: initialWeights(detector, 2),
    classes: { kind: "fixed", names: ["object"] },
    preprocessing: { side, padding: "square" },
  });
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const words = (run: string, ...more: string[]): string[] => [
  ...["tune", "detection", join(folder, "boxes"), "--detector", join(folder, "start"), "--out", join(folder, run)],
  ...["--batch", "4", "--augment", "none", "--learning-rate", "0.0025", "--encoder-rate", "1", "--json"],
  ...more,
];
const florence = (...line: string[]): Promise<CliResult> =>
  runFlorence(line, { loadModel, cacheFolder: join(folder, "cache") });

const tensorsOf = async (run: string) =>
  (await readSafetensors(join(folder, run, "model", "model.safetensors"))).tensors;

function spawnTuning(line: string[], act: (child: ChildProcess) => void): Promise<number | null> {
  return new Promise((resolve) => {
    const environment = { ...process.env, FLORENCE_CACHE: join(folder, "cache") };
    const child = spawn(process.execPath, ["--import", "tsx", main, ...line], { env: environment });
    let lines = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      const before = lines;
      lines += chunk.toString().split("\n").length - 1;
      if (before < 4 && lines >= 4) act(child);
    });
    child.on("close", resolve);
  });
}

describe("florence tune detection", () => {
  it("learns 20 pictures by heart; eval says the same, names what is wrong, and the folder tells its story", async () => {
    const { exitCode, stdout, stderr } = await florence(...words("whole", "--steps", "340"));
    expect(exitCode, stderr).toBe(0);
    const lines = jsonLines(stdout);
    expect(lines.filter(({ loss }) => typeof loss === "number")).toHaveLength(340);
    const model = join(folder, "whole", "model");
    expect(lines.at(-1)).toMatchObject({ model, scores: { test: { pictures: 20 } } });
    expect((await readdir(model)).sort()).toEqual([
      "README.md",
      "config.json",
      "loss-curve.png",
      "model.safetensors",
      "predictions.jpg",
      "recipe.json",
      "scores.json",
    ]);
    expect(await readFile(join(model, "README.md"), "utf8")).toContain("340 steps of 4 pictures at 64 pixels");

    const ledger = join(folder, "ledger.jsonl");
    const scored = await florence(
      ...["eval", "detection", join(folder, "boxes"), "--detector", model, "--split", "train"],
      ...["--ledger", ledger, "--json"],
    );
    expect(scored.exitCode, scored.stderr).toBe(0);
    const [entry] = jsonLines(scored.stdout) as unknown as { metrics: Record<string, number>; chance: number }[];
    expect(entry.metrics.ap50).toBeGreaterThanOrEqual(0.95);
    expect(entry.chance).toBeLessThan(0.05);
    expect((await readLedger(ledger)).entries).toHaveLength(1);
    const page = join(folder, "page.html");
    expect((await florence("eval", "report", ledger, "--out", page)).exitCode).toBe(0);
    expect(await readFile(page, "utf8")).toContain("Errors at IoU 0.5");
  }, 120_000);

  it("goes on after a kill to the very weights of an unbroken run", async () => {
    const more = ["--steps", "12", "--checkpoint-minutes", "0"];
    expect((await florence(...words("unbroken", ...more))).exitCode).toBe(0);
    expect(await spawnTuning(words("killed", ...more), (child) => child.kill("SIGKILL"))).toBeNull();
    const resumed = await florence(...words("killed", ...more));
    expect(resumed.exitCode, resumed.stderr).toBe(0);
    expect(jsonLines(resumed.stdout)[0].step).toBeGreaterThan(1);
    expect(await tensorsOf("killed")).toEqual(await tensorsOf("unbroken"));
    expect((await florence(...words("killed", "--steps", "13"))).exitCode).toBe(5); // another run's folder
  }, 120_000);

  it("names annotations that cannot be used and goes on; --strict refuses them", async () => {
    const bad = join(folder, "bad");
    await writeRectangles(bad, 4);
    const path = join(bad, "train", "_annotations.coco.json");
    const content = JSON.parse(await readFile(path, "utf8"));
    content.annotations[1].bbox = [5, 5, -3, 8];
    content.annotations[2].category_id = 77;
    await writeFile(path, JSON.stringify(content));
    const line = ["tune", "detection", bad, "--detector", join(folder, "start"), "--steps", "2", "--batch", "2"];
    const { exitCode, stderr } = await florence(...line, "--out", join(folder, "from-bad"));
    expect(exitCode).toBe(3);
    expect(stderr).toContain("id 2");
    expect(stderr).toContain("id 3");
    expect(stderr).toContain("_annotations.coco.json");
    const strict = await florence(...line, "--out", join(folder, "strict"), "--strict");
    expect(strict.exitCode).toBe(5);
    expect(strict.stderr).toContain("must be without fault under strict, got 2 problems");
  }, 60_000);

  it("scores exposures, and takes from the ledger what it has", async () => {
    const ledger = join(folder, "exposure.jsonl");
    const line = [
      ...["exposure", "detection", join(folder, "boxes"), "--detector", join(folder, "start"), "--ledger", ledger],
      ...[
        "--runs",
        join(folder, "runs"),
        "--shots",
        "1,full",
        "--seeds",
        "3,30",
        "--shot-steps",
        "2",
        "--shot-epochs",
        "1",
        "--steps",
        "3",
      ],
      ...["--batch", "4", "--json"],
    ];
    const first = await florence(...line);
    expect(first.exitCode, first.stderr).toBe(0);
    const scores = jsonLines(first.stdout);
    expect(scores.map(({ seed, protocol }) => [(protocol as { shots: unknown }).shots, seed])).toEqual([
      [1, 3],
      [1, 30],
      ["full", 3],
    ]);
    const again = await florence(...line);
    expect(jsonLines(again.stdout)).toEqual(scores); // dates among them: nothing was computed
    expect((await readLedger(ledger)).entries).toHaveLength(3);
    expect(await readdir(join(folder, "runs"))).toEqual([]);
  }, 120_000);
});
