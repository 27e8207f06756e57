import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

let folder: string;
let cacheFolder: string;
let ledger: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-calibrate-"));
  cacheFolder = join(folder, "cache");
  ledger = join(folder, "ledger.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const out = () => join(folder, "colors.json");
const run = (...words: string[]) => runFlorence(words, { loadModel: async () => toyModel(), cacheFolder });
const calibrate = (...words: string[]) => run("calibrate", ...words, "--ledger", ledger, "--out", out());

const shades = { red: [200, 60, 60], green: [60, 200, 60], blue: [60, 60, 200] } as const;

/**
 * Pictures of noisy colours in train and test parts, each fifth one labelled as the next colour: a model that is sure of
 * them all is right about four times in five.
 */
async function writeColors(perClass: { train: number; test: number }): Promise<string> {
  const set = join(folder, "colors");
  const rng = new Rng("calibrate");
  const names = Object.keys(shades) as (keyof typeof shades)[];
  for (const split of ["train", "test"] as const) {
    for (const [k, name] of names.entries()) {
      await mkdir(join(set, split, name), { recursive: true });
      for (let i = 0; i < perClass[split]; i++) {
        const shade = shades[names[i % 5 === 4 ? (k + 1) % 3 : k]];
        const [r, g, b] = shade.map((value) => value + rng.int(40));
        await writePicture(join(set, split, name, `${i}.png`), `rgb(${r},${g},${b})`);
      }
    }
  }
  return set;
}

/** Grey pictures and yellow ones, in no order, or in folders of their own. */
async function writeOutside({ count = 24, kinds = 6, isFlat = false } = {}): Promise<string> {
  const set = join(folder, "others");
  await mkdir(set, { recursive: true });
  for (let i = 0; i < count; i++) {
    const kind = `kind${i % kinds}`;
    if (!isFlat) await mkdir(join(set, kind), { recursive: true });
    const light = 150 + 4 * i;
    await writePicture(join(set, isFlat ? "" : kind, `${i}.png`), i % 2 ? `rgb(${light},${light},${light})` : "yellow");
  }
  return set;
}

describe("florence calibrate", () => {
  it("makes probabilities of a boasting model honest, and classify uses them", async () => {
    const set = await writeColors({ train: 20, test: 20 });
    const { exitCode, stdout, stderr } = await calibrate(set, "--json");
    expect(stderr).not.toContain("rror:");
    expect(exitCode).toBe(0);
    const [report] = jsonLines(stdout) as [Record<string, unknown>];
    expect(report).toMatchObject({
      labels: ["blue", "green", "red"],
      fitted: { pictures: 60, outside: 0 },
      heldOut: { pictures: 60, outside: 0, top1: 0.8, failed: 0 },
    });
    expect(report).not.toHaveProperty("rejection");
    const { before, after } = report.calibrationError as { before: number; after: number };
    expect(before).toBeCloseTo(0.2, 2); // sure of all, right about four in five
    expect(after).toBeLessThan(0.06);
    expect(report.temperature).toBeGreaterThan(5);

    const file = JSON.parse(await readFile(out(), "utf8"));
    expect(1 / file.scale).toBeCloseTo(report.temperature as number, 9);
    const words = ["classify", join(set, "test/red/0.png"), "--labels", "blue,green,red", "--json"];
    const [sure] = jsonLines((await run(...words)).stdout) as { predictions: { probability: number }[] }[];
    const [honest] = jsonLines((await run(...words, "--calibration", out())).stdout) as (typeof sure)[];
    expect(sure.predictions[0].probability).toBeGreaterThan(0.999);
    expect(honest.predictions[0].probability).toBeCloseTo(0.8, 1);
    expect(honest).not.toHaveProperty("acceptanceScore");
  });

  it("learns to reject from outside pictures, never measuring on a kind it was fitted on", async () => {
    const set = await writeColors({ train: 20, test: 20 });
    const others = await writeOutside();
    const page = join(folder, "page.html");
    const { exitCode, stdout } = await calibrate(set, "--outside", others, "--report", page, "--json");
    expect(exitCode).toBe(0);
    const [report] = jsonLines(stdout) as [Record<string, Record<string, unknown>>];
    expect(report.fitted).toEqual({ pictures: 60, outside: 12 });
    expect(report.heldOut).toMatchObject({ pictures: 60, outside: 12 });
    expect(report.rejection).toMatchObject({ outsideDivision: "by class", wantedAcceptance: 0.9, rejected: 1 });
    expect(report.rejection.trueAcceptance).toBeGreaterThan(0.8);
    const methods = report.rejection.methods as { method: string; areaUnderRoc: number }[];
    expect(methods.map(({ method }) => method)).toContain("example-gate");
    expect(methods.find(({ method }) => method === report.rejection.method)?.areaUnderRoc).toBeGreaterThan(0.95);

    const html = await readFile(page, "utf8");
    expect(html).toContain("Calibration of toy on colors");
    expect(html).toContain("outside pictures accepted");
    expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
    const entries = jsonLines(await readFile(ledger, "utf8"));
    expect(entries.map(({ metric, chance }) => [metric, chance])).toEqual([
      ["calibration error", expect.closeTo(0.8 - 1 / 3, 9)],
      ["rejection AUROC", 0.5],
    ]);
    const ledgerPage = await run("eval", "report", ledger, "--out", join(folder, "ledger.html"));
    expect(ledgerPage.exitCode).toBe(0);

    const words = ["classify", join(set, "test/red/0.png"), join(others, "kind1/1.png"), "--labels", "blue,green,red"];
    const lines = jsonLines((await run(...words, "--calibration", out(), "--json")).stdout);
    expect(lines.map(({ rejected }) => rejected)).toEqual([undefined, true]);
  });

  it("takes a folder without order, and gives the same for the same seed", async () => {
    const set = await writeColors({ train: 10, test: 10 });
    const others = await writeOutside({ isFlat: true });
    const first = await calibrate(set, "--outside", others, "--json", "--pictures", "15");
    expect(jsonLines(first.stdout)[0]).toMatchObject({
      fitted: { pictures: 15, outside: 12 },
      rejection: { outsideDivision: "by picture" },
    });
    const file = await readFile(out(), "utf8");
    const again = await calibrate(set, "--outside", others, "--json", "--pictures", "15");
    expect(again.stdout).toBe(first.stdout);
    expect(await readFile(out(), "utf8")).toBe(file);
    const other = await calibrate(set, "--outside", others, "--json", "--pictures", "15", "--seed", "1");
    expect(other.stdout).not.toBe(first.stdout);
  });

  it("takes the other classes of the set for outside, and background prompts", async () => {
    const set = await writeColors({ train: 20, test: 20 });
    const backgrounds = join(folder, "backgrounds.txt");
    await writeFile(backgrounds, "white\nyellow\n");
    const words = ["--labels", "red,green", "--backgrounds", backgrounds, "--reject-by", "background-share"];
    const { stdout } = await calibrate(set, ...words);
    expect(stdout).toMatch(/^fitted on 40 pictures: temperature \d/);
    expect(stdout).toContain('"none of these" by background-share: ');
    expect(stdout).toContain("of 20 outside rejected"); // blue
    const file = JSON.parse(await readFile(out(), "utf8"));
    expect(file.backgrounds).toEqual(["white", "yellow"]);
    expect(file.rejection.method).toBe("background-share");
  });

  it("reports pictures that do not decode, and uses the others", async () => {
    const set = await writeColors({ train: 20, test: 20 });
    await writeFile(join(set, "test/red/broken.png"), "no picture");
    const { exitCode, stdout, stderr } = await calibrate(set, "--json");
    expect(exitCode).toBe(3);
    expect(stderr).toContain("broken.png");
    expect(jsonLines(stdout)[0]).toMatchObject({ heldOut: { pictures: 60, failed: 1 } });
  });

  it.each([
    [
      ["--labels", "red,grene"],
      'colors: every label must be one of the set\'s classes, got "grene". It has blue, green, red.',
    ],
    [["--labels", "red"], "at least 2 are needed"],
    [["--outside", "EMPTY"], "EMPTY"],
    [["--outside", "FEW"], "outside pictures: at least 5 are needed on each side"],
    [["--outside", "none/at/all"], "none/at/all"],
    [["--reject-by", "example-gate"], "outside pictures are needed, got none. Add --outside."],
    [["--reject-by", "background-margin"], "prompts are needed, got none. Add --backgrounds."],
    [["--reject-by", "magic"], "Allowed choices are best, max-probability"],
    [["--acceptance", "2"], "a number from 0.01 to 1"],
    [["--templates", "no-such-file.txt"], "no-such-file.txt"],
  ])("refuses %j", async (words, message) => {
    const set = await writeColors({ train: 12, test: 12 });
    const places = { EMPTY: join(folder, "empty"), FEW: join(folder, "others") };
    await mkdir(places.EMPTY);
    await writeOutside({ count: 4, kinds: 1 });
    const given = words.map((word) => places[word as "EMPTY"] ?? word);
    const { exitCode, stderr, stdout } = await calibrate(set, ...given);
    expect(stderr).toContain(message.replace("EMPTY", places.EMPTY));
    expect(exitCode).not.toBe(0);
    expect(stdout).toBe("");
    await expect(readFile(out())).rejects.toThrow("ENOENT");
  });

  it("refuses too few pictures, and models that judge each label by itself", async () => {
    const few = await writeColors({ train: 3, test: 12 });
    expect((await calibrate(few)).stderr).toContain("at least 10 pictures of the labels are needed to fit on");
    const loadModel = async () => ({ ...toyModel(), scoring: { kind: "sigmoid", bias: -10 } as const });
    const words = ["calibrate", await writeColors({ train: 12, test: 12 }), "--out", out(), "--ledger", ledger];
    const { exitCode, stderr } = await runFlorence(words, { loadModel, cacheFolder });
    expect(stderr).toContain("must choose among labels, got toy");
    expect(exitCode).toBe(5);
  });
});
