import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { writeCalibration } from "../../src/tasks/calibration/calibration-file.ts";
import { bareTemplates, defaultTemplates } from "../../src/tasks/classification/templates.data.ts";
import type { LoadOptions } from "../../src/zoo/florence-model.ts";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { type ToyLog, toyModel } from "./toy-model.ts";

let folder: string;
let cacheFolder: string;
let log: ToyLog;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-classify-"));
  cacheFolder = join(folder, "cache");
  log = { imageBatches: [], texts: [], disposed: 0 };
  await mkdir(join(folder, "photos/more"), { recursive: true });
  await writePicture(join(folder, "photos/apple.png"), "red");
  await writePicture(join(folder, "photos/more/leaf.jpg"), "lime");
  await writePicture(join(folder, "photos/sea.webp"), "blue");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(...words: string[]) {
  return runFlorence(words, { loadModel: async () => toyModel({ log }), cacheFolder });
}

describe("florence classify", () => {
  it("answers one JSON line a picture, in order, most probable label first", async () => {
    const { exitCode, stdout, stderr } = await run(
      "classify",
      join(folder, "photos"),
      "--labels",
      "red,green, blue",
      "--json",
    );
    const lines = jsonLines(stdout) as { path: string; predictions: { label: string; probability: number }[] }[];
    expect(lines.map(({ path, predictions }) => [path.slice(folder.length + 1), predictions[0].label])).toEqual([
      ["photos/apple.png", "red"],
      ["photos/more/leaf.jpg", "green"],
      ["photos/sea.webp", "blue"],
    ]);
    for (const { predictions } of lines) {
      const sum = predictions.reduce((total, { probability }) => total + probability, 0);
      expect(sum).toBeCloseTo(1, 9);
      expect(predictions.map(({ probability }) => probability)).toEqual(
        predictions.map(({ probability }) => probability).sort((a, b) => b - a),
      );
      expect(Object.keys(predictions[0])).toEqual(["label", "probability"]);
    }
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    expect(log.disposed).toBe(1);
  });

  it("loads the model in the precision asked for", async () => {
    const asked: unknown[] = [];
    const loadModel = async (_: string, options?: LoadOptions) => {
      asked.push(options?.precision);
      return toyModel({ log });
    };
    const words = ["classify", join(folder, "photos"), "--labels", "red,blue"];
    await runFlorence(words, { loadModel, cacheFolder });
    await runFlorence([...words, "--precision", "int8"], { loadModel, cacheFolder });
    const { exitCode } = await runFlorence([...words, "--precision", "int4"], { loadModel, cacheFolder });
    expect([asked, exitCode]).toEqual([["float32", "int8"], 2]);
  });

  it("prints a line for humans with the best labels only", async () => {
    const picture = join(folder, "photos/apple.png");
    const { stdout } = await run("classify", picture, "--labels", "red,green,blue", "--top", "1");
    expect(stdout).toBe(`${picture}  red 100.0 %\n`);
  });

  it("uses every template, and embeds a list of labels only once", async () => {
    const words = ["classify", join(folder, "photos/apple.png"), "--labels", "red,green"];
    const first = await run(...words);
    expect(log.texts).toHaveLength(2 * defaultTemplates.length);
    expect(log.texts).toContain(defaultTemplates[0].replace("{}", "green"));
    log.texts = [];
    const second = await run(...words);
    expect(log.texts).toEqual([]);
    expect(second).toEqual(first);
    await run(...words, "--templates", "none");
    expect(log.texts).toEqual(["red", "green"]);
  });

  it("reads labels and templates from files", async () => {
    await writeFile(join(folder, "labels.txt"), "\uFEFFred\r\n\r\n  green  \r\n");
    await writeFile(join(folder, "templates.txt"), "a {} thing\n{}!\n");
    const { exitCode } = await run(
      ...["classify", join(folder, "photos"), "--labels-file", join(folder, "labels.txt")],
      ...["--templates", join(folder, "templates.txt")],
    );
    expect(exitCode).toBe(0);
    expect(log.texts).toEqual(["a red thing", "red!", "a green thing", "green!"]);
  });

  it.each([
    { words: ["--labels", "cat"], code: 2, says: "at least 2 are needed to choose from, got 1" },
    { words: ["--labels", "cat,,dog"], code: 2, says: "none may be empty, got nothing as number 2" },
    { words: ["--labels", "cat,dog,cat"], code: 2, says: 'got "cat" twice' },
    { words: [], code: 2, says: "labels are needed" },
    { words: ["--labels", "a,b", "--labels-file", "x"], code: 2, says: "exclude each other" },
    { words: ["--labels-file", "nowhere.txt"], code: 4, says: "nowhere.txt: must exist" },
    { words: ["--labels", "a,b", "--templates", "nowhere.txt"], code: 4, says: "nowhere.txt: must exist" },
    { words: ["--labels", "a,b", "--top", "many"], code: 2, says: "whole number from 1" },
    { words: ["--labels", "a,b", "--jsn"], code: 2, says: "Did you mean --json?" },
    { words: ["--labels", Array.from({ length: 10_001 }, (_, i) => i).join()], code: 2, says: "at most 10000" },
  ])("refuses $words.0 … : $says", async ({ words, code, says }) => {
    const { exitCode, stdout, stderr } = await run("classify", join(folder, "photos"), ...words);
    expect(stderr).toContain(says);
    expect(stdout).toBe("");
    expect(exitCode).toBe(code);
    expect(log.texts).toEqual([]); // refused before any work was done
  });

  it("goes on after a picture that only the model refuses", async () => {
    await writePicture(join(folder, "photos/odd.png"), "blue", 7, 7);
    const { exitCode, stdout } = await run("classify", join(folder, "photos"), "--labels", "red,green", "--json");
    const lines = jsonLines(stdout);
    expect(lines).toHaveLength(4);
    expect(lines[2]).toMatchObject({ path: join(folder, "photos/odd.png"), error: { code: "unsupported" } });
    expect(exitCode).toBe(3);
  });

  it("answers 4 when there is nothing to do", async () => {
    await mkdir(join(folder, "empty"));
    expect(await run("classify", join(folder, "empty"), "--labels", "a,b")).toMatchObject({
      exitCode: 4,
      stdout: "",
      stderr: "classify: found no pictures.\n",
    });
  });

  it("works without a cache that can be written", async () => {
    await writeFile(cacheFolder, "a file where the folder should be");
    const { exitCode, stdout, stderr } = await run(
      "classify",
      join(folder, "photos"),
      "--labels",
      "red,green",
      "--json",
    );
    expect(exitCode).toBe(0);
    expect(jsonLines(stdout)).toHaveLength(3);
    expect(stderr).toContain("Class embeddings are not kept");
  });

  it("makes batches of 32", async () => {
    for (let i = 0; i < 70; i++) await writePicture(join(folder, "photos/more", `${i}.png`), "red", 2, 2);
    await run("classify", join(folder, "photos"), "--labels", "red,green");
    expect(log.imageBatches).toEqual([32, 32, 9]);
    expect(await readdir(join(cacheFolder, "class-embeddings"))).toHaveLength(1);
  });

  it("calibrates, and rejects a picture of none of the labels", async () => {
    const file = join(folder, "calibration.json");
    const { fingerprint, embedDim } = toyModel();
    const stored = {
      correction: { scale: 0.02, bias: [0, 0] },
      rejection: { rule: { method: "background-margin" }, threshold: 1 },
      backgrounds: ["blue"],
    } as const;
    await writeCalibration(file, stored, { fingerprint, embedDim, labels: ["red", "green"], templates: bareTemplates });
    const words = ["classify", join(folder, "photos"), "--templates", "none", "--calibration", file];
    const { exitCode, stdout } = await run(...words, "--labels", "red,green", "--json");
    const lines = jsonLines(stdout) as { predictions: { label: string; probability: number }[]; rejected?: true }[];
    expect(exitCode).toBe(0);
    expect(lines.map(({ rejected }) => rejected)).toEqual([undefined, undefined, true]); // the sea is blue
    expect(lines.map(({ predictions }) => predictions.length)).toEqual([2, 2, 2]); // backgrounds are no answers
    expect(lines[2]).toMatchObject({ acceptanceScore: expect.closeTo(-50, 0) });
    const [{ label, probability }] = lines[0].predictions;
    expect(label).toBe("red"); // cosines 1 and 0, logit scale 50, corrected to 1
    expect(probability).toBeCloseTo(1 / (1 + Math.exp(-1)), 2);
    const human = await run(...words, "--labels", "red,green");
    expect(human.stdout).toContain("sea.webp  none of these  ");

    const others = await run(...words, "--labels", "green,red");
    expect(others).toMatchObject({ exitCode: 5, stdout: "" });
    expect(others.stderr).toContain("must be made for the same labels");
  });
});
