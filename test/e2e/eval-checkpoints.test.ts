import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

const clip = fileURLToPath(new URL("../fixtures/checkpoints/clip-hugging-face", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-eval-clip-"));
  for (const [split, count] of [
    ["train", 4],
    ["test", 3],
  ] as const) {
    for (const name of ["red", "blue"]) {
      await mkdir(join(folder, "set", split, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        const shade = 200 + 13 * i;
        await writePicture(
          join(folder, "set", split, name, `${i}.png`),
          name === "red" ? `rgb(${shade},9,9)` : `rgb(9,9,${shade})`,
          40,
          36,
        );
      }
    }
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function entriesOf(...words: string[]): Promise<Record<string, unknown>[]> {
  const ledger = join(folder, "ledger.jsonl");
  const result = await runFlorence([...words, "--ledger", ledger, "--json"], {
    loadModel,
    cacheFolder: join(folder, "cache"),
  });
  expect(result.stderr).toBe("");
  expect(result.exitCode).toBe(0);
  return jsonLines(result.stdout);
}

describe("florence eval on an imported CLIP checkpoint of random weights", () => {
  it("scores it as it does any model", async () => {
    const set = join(folder, "set");
    const [zeroShot] = await entriesOf("eval", "zero-shot", set, "--model", clip);
    expect(zeroShot).toMatchObject({ n: 6, chance: 0.5, failed: 0 });
    // Red and blue are apart in the features of any encoder, trained or not.
    const [probe] = await entriesOf("eval", "linear-probe", set, "--model", clip);
    expect(probe).toMatchObject({ score: 1, protocol: { shots: "full" }, seed: null });
    const [episodes] = await entriesOf(
      ...["eval", "few-shot", set, "--model", clip, "--ways", "2", "--shots", "3", "--queries", "2"],
      ...["--episodes", "5", "--method", "prototype"],
    );
    expect(episodes).toMatchObject({ score: 1, n: 5, chance: 0.5 });
  });

  it("tunes it, scores what came of it, and leaves nothing behind", async () => {
    const words = ["--shots", "2", "--seeds", "3", "--epochs", "20", "--learning-rate", "0.003", "--augment", "none"];
    const set = join(folder, "set");
    const [head] = await entriesOf("eval", "fine-tune", set, "--model", clip, "--method", "head", ...words);
    expect(head).toMatchObject({ score: 1, seed: 3, protocol: { method: "head", shots: 2, epochs: 20 } });
    const [again] = await entriesOf("eval", "fine-tune", set, "--model", clip, "--method", "head", ...words);
    expect(again).toEqual(head);
    expect(head?.protocol).not.toHaveProperty("optimizer"); // as it was before there was a choice
    const other = [...words, "--optimizer", "muon", "--matrix-rate", "2"];
    const [muon] = await entriesOf("eval", "fine-tune", set, "--model", clip, "--method", "head", ...other);
    expect(muon).toMatchObject({ score: 1, protocol: { optimizer: "muon", matrixRate: 2 } });
    await expect(readFile(join(folder, "cache/evaluation-runs"))).rejects.toMatchObject({ code: "EISDIR" });
  });
});

describe("florence calibrate on an imported CLIP checkpoint of random weights", () => {
  it("fits and measures it as it does any model, and tells its own colours from another", async () => {
    const set = join(folder, "calibration");
    for (const [split, name] of ["train", "test"].flatMap((part) =>
      ["red", "blue", "lime"].map((name) => [part, name]),
    )) {
      await mkdir(join(set, split, name), { recursive: true });
      for (let i = 0; i < 10; i++) {
        const strong = 150 + 10 * i;
        const shade = { red: [strong, 9, 9], blue: [9, 9, strong], lime: [9, strong, 9] }[name];
        await writePicture(join(set, split, name, `${i}.png`), `rgb(${shade?.join()})`, 40, 36);
      }
    }
    const file = join(folder, "clip.calibration.json");
    const words = ["--model", clip, "--labels", "red,blue", "--out", file];
    const [report] = await entriesOf("calibrate", set, ...words);
    expect(report).toMatchObject({
      fitted: { pictures: 20, outside: 10 },
      heldOut: { pictures: 20, outside: 10 },
      rejection: { rejected: 1, outsideDivision: "by picture" },
    });
    const { before, after } = report.negativeLogLikelihood as { before: number; after: number };
    expect(after).toBeLessThanOrEqual(before + 1e-9);
    const classify = ["classify", join(set, "test/lime/0.png"), "--model", clip, "--labels", "red,blue"];
    const { stdout } = await runFlorence([...classify, "--calibration", file, "--json"], {
      loadModel,
      cacheFolder: join(folder, "cache"),
    });
    expect(jsonLines(stdout)[0]).toMatchObject({ rejected: true });
  });
});

describe("florence eval on sets with faults", () => {
  const run = (...words: string[]) =>
    runFlorence([...words, "--ledger", join(folder, "faults.jsonl"), "--json"], {
      loadModel: async () => toyModel(),
      cacheFolder: join(folder, "cache-of-faults"),
    });

  it("names missing files, classes without images and classes of one image, and scores the rest", async () => {
    const rows = ["file,label,split"];
    const add = async (name: string, color: string, label: string, split: string) => {
      if (color !== "") await writePicture(join(folder, `${name}.png`), color);
      rows.push(`${name}.png,${label},${split}`);
    };
    for (let i = 0; i < 10; i++) {
      await add(`r${i}`, "red", "red", i < 8 ? "train" : "test");
      await add(`b${i}`, "blue", "blue", i < 8 ? "train" : "test");
    }
    await add("y0", "yellow", "yellow", "train"); // one image, none to test on
    await add("gone", "", "red", "test"); // no such file
    await writeFile(join(folder, "faults.csv"), rows.join("\n"));
    await writeFile(join(folder, "classes.json"), JSON.stringify(["red", "blue", "yellow", "white"])); // white: none
    const { stdout, stderr, exitCode } = await run(
      ...["eval", "linear-probe", join(folder, "faults.csv"), "--shots", "2", "--seeds", "3"],
    );
    const [entry] = jsonLines(stdout);
    expect(entry).toMatchObject({
      score: 1,
      n: 4,
      chance: 0.25,
      metrics: { "mean-per-class": 1, "training images": 5 },
    });
    expect(stderr).toContain("gone.png");
    expect(stderr).toContain("2 of 4 classes have fewer training images than asked for: yellow (1), white (0).");
    expect(exitCode).toBe(3);
    const details = JSON.parse(await readFile(join(folder, entry.details as string), "utf8"));
    expect(details.notes[0]).toBe("2 of 4 classes have no image in this split.");
  });

  it("scores ten thousand classes", async () => {
    const set = join(folder, "many");
    await mkdir(set);
    const names = Array.from({ length: 10_000 }, (_, i) => (i === 77 ? "red" : `thing ${i}`));
    await writeFile(join(set, "classes.json"), JSON.stringify(names));
    await writePicture(join(set, "a.png"), "red");
    await writePicture(join(set, "b.png"), "blue");
    const rows = [
      { file: "a.png", label: "red" },
      { file: "b.png", label: "thing 5" },
    ];
    await writeFile(join(set, "metadata.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
    const { stdout, exitCode } = await run("eval", "zero-shot", set, "--split", "all", "--templates", "none");
    expect(exitCode).toBe(0);
    expect(jsonLines(stdout)[0]).toMatchObject({ score: 0.5, chance: 1e-4, n: 2 });
  });
});
