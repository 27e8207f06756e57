import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { wilsonInterval } from "../../src/metrics/intervals.ts";
import { jsonLines, runFlorence, spawnFlorence, writePicture } from "./run-florence.ts";
import { type ToyLog, toyModel } from "./toy-model.ts";

let folder: string;
let cacheFolder: string;
let ledger: string;
let log: ToyLog;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-eval-"));
  cacheFolder = join(folder, "cache");
  ledger = join(folder, "ledger.jsonl");
  log = { imageBatches: [], texts: [], disposed: 0 };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(...words: string[]) {
  return runFlorence([...words, "--ledger", ledger], { loadModel: async () => toyModel({ log }), cacheFolder });
}

/** A folder of classes: pictures of noisy colours, some of a wrong one, in train and test parts. */
async function writeColors({ test = 8, train = 12, wrong = 2 } = {}): Promise<string> {
  const set = join(folder, "colors");
  const rng = new Rng("colors");
  const shades = { red: [220, 30, 30], green: [30, 200, 30], blue: [30, 30, 220] };
  for (const [split, count] of [
    ["train", train],
    ["test", test],
  ] as const) {
    for (const [name, shade] of Object.entries(shades)) {
      await mkdir(join(set, split, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        // The last ones of "red" are blue: mistakes that are known.
        const isWrong = name === "red" && split === "test" && i >= count - wrong;
        const [r, g, b] = (isWrong ? shades.blue : shade).map((value) => value + rng.int(25));
        await writePicture(join(set, split, name, `${i}.png`), `rgb(${r},${g},${b})`);
      }
    }
  }
  return set;
}

/** Captioned pictures: five colours, two captions each. */
async function writeCaptions(): Promise<string> {
  await mkdir(join(folder, "captions"));
  const rows = [];
  for (const color of ["red", "green", "blue", "yellow", "white"]) {
    await writePicture(join(folder, "captions", `${color}.png`), color === "green" ? "lime" : color);
    rows.push({ file: `${color}.png`, captions: [`a ${color} picture`, color === "white" ? "red" : `all ${color}`] });
  }
  await writeFile(join(folder, "captions/metadata.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  return join(folder, "captions");
}

describe("florence eval zero-shot", () => {
  it("scores with interval, chance and confusions, as counted by hand", async () => {
    const set = await writeColors();
    const { exitCode, stdout, stderr } = await run("eval", "zero-shot", set, "--json");
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    const [entry] = jsonLines(stdout);
    expect(entry).toMatchObject({
      task: "zero-shot",
      metric: "top-1",
      score: 22 / 24,
      interval: wilsonInterval(22, 24),
      chance: 1 / 3,
      n: 24,
      failed: 0,
      data: { name: "colors", split: "test" },
      seed: null,
      metrics: { "mean-per-class": (6 / 8 + 1 + 1) / 3 },
    });
    expect((await readFile(ledger, "utf8")).trim()).toBe(JSON.stringify(entry));
    const details = JSON.parse(await readFile(join(folder, entry.details as string), "utf8"));
    expect(details.classes.map(({ name }: { name: string }) => name)).toEqual(["blue", "green", "red"]);
    expect(details.confusion).toEqual([
      [8, 0, 0],
      [0, 8, 0],
      [2, 0, 6],
    ]);
    expect(details.confusedPairs).toEqual([{ truth: "red", predicted: "blue", count: 2 }]);
    expect(details.worst.map(({ key }: { key: string }) => key).sort()).toEqual(["test/red/6.png", "test/red/7.png"]);
  });

  it("computes nothing twice, unless forced; other prompts are another question", async () => {
    const set = await writeColors();
    await run("eval", "zero-shot", set);
    const first = log.imageBatches.length;
    const again = await run("eval", "zero-shot", set, "--json");
    expect(jsonLines(again.stdout)).toHaveLength(1);
    expect(log.imageBatches).toHaveLength(first);
    await run("eval", "zero-shot", set, "--templates", "none"); // images are known by now, prompts are not
    await run("eval", "zero-shot", set, "--force");
    expect(log.imageBatches).toHaveLength(first);
    expect((await readFile(ledger, "utf8")).trim().split("\n")).toHaveLength(3);
  });

  it("takes prompts and names from a file as CLIP has it", async () => {
    const set = await writeColors();
    const prompts = join(folder, "prompts.md");
    const names = "classes = ['sky', ['leaf', 'leaf green'], 'deep red']";
    await writeFile(prompts, `## Colors3\n\n${names}\ntemplates = ['paint: {}.']\n`);
    const words = ["--templates", "clip:colors3", "--prompts", prompts, "--class-names", "clip", "--json"];
    // CLIP's names are no names of the set, so they count in its order.
    const { exitCode } = await run("eval", "zero-shot", set, ...words);
    expect(exitCode).toBe(0);
    expect(log.texts).toEqual(["paint: sky.", "paint: leaf.", "paint: leaf green.", "paint: deep red."]);
    // By place, blue would be "deep red" here and red "blue".
    await writeFile(prompts, `## Colors3\n\nclasses = ['deep red', 'green', 'blue']\ntemplates = ['paint: {}.']\n`);
    const mixed = await run("eval", "zero-shot", set, ...words);
    expect(mixed.stderr).toContain('got none that is "red"');
    expect(mixed.exitCode).not.toBe(0);
  });

  it("descends into a folder around those of the classes, and says so", async () => {
    for (const name of ["red", "blue"]) {
      await mkdir(join(folder, "around/images", name), { recursive: true });
      for (let i = 0; i < 4; i++) await writePicture(join(folder, "around/images", name, `${i}.png`), name);
    }
    const { stdout, stderr } = await run("eval", "zero-shot", join(folder, "around"), "--split", "all", "--json");
    expect(jsonLines(stdout)[0]).toMatchObject({ score: 1, n: 8 });
    expect(stderr.match(/note: .*has all pictures below images/g)).toHaveLength(1);
  });

  it.each([
    ["linear-probe", "all"],
    ["text-probe", "train"],
    ["fine-tune", "all"],
  ])("refuses to score %s on pictures that it learnt from, as with --split %s", async (task, split) => {
    const set = await writeColors({ train: 4, test: 4, wrong: 0 });
    const { exitCode, stderr } = await run("eval", task, set, "--split", split);
    expect(stderr).toContain(`must be left beside the scored ones of split "${split}"`);
    expect(exitCode).not.toBe(0);
  });

  it("says how many scored pictures a probe was kept from", async () => {
    const set = await writeColors({ train: 4, test: 4, wrong: 0 });
    const { stdout } = await run("eval", "linear-probe", set, "--split", "last:6", "--json"); // of train/red and green
    expect(jsonLines(stdout)[0]).toMatchObject({ n: 6, protocol: { withoutScored: 6 } });
  });

  it("reports pictures that do not decode, counts them, and scores the others", async () => {
    const set = await writeColors();
    await writeFile(join(set, "test/green/broken.png"), "no picture");
    await writePicture(join(set, "test/green/odd.png"), "lime", 7, 7); // the toy refuses this size
    const { exitCode, stdout, stderr } = await run("eval", "zero-shot", set, "--json");
    expect(jsonLines(stdout)[0]).toMatchObject({ n: 24, failed: 2, score: 22 / 24 });
    expect(stderr).toContain("broken.png");
    expect(stderr).toContain("odd.png");
    expect(exitCode).toBe(3);
  });

  it.each([
    [["eval", "nothing", "SET"], "task must be one of zero-shot"],
    [["eval", "zero-shot", "SET", "--shots", "3"], "takes --split, --metric, --templates, got --shots"],
    [["eval", "zero-shot", "SET", "--metric", "map-11"], "does not suit colors"],
    [["eval", "zero-shot", "SET", "--split", "late"], 'got "late"'],
    [["eval", "zero-shot", "SET", "--templates", "clip:CIFAR10"], "--prompts FILE is needed"],
    [["eval", "zero-shot", "SET", "--class-names", "clip"], "needs --templates clip:SET"],
    [["eval", "retrieval", "SET"], "must have two captioned images"],
    [["exposure", "SET", "--methods", "magic"], 'got "magic"'],
    [["exposure", "SET", "--plot", "curve.gif"], "must end in .svg or .png"],
  ])("refuses %j", async (words, message) => {
    const set = await writeColors({ train: 2, test: 2, wrong: 0 });
    const { exitCode, stderr } = await run(...words.map((word) => (word === "SET" ? set : word)));
    expect(stderr).toContain(message);
    expect(exitCode).not.toBe(0);
  });
});

describe("florence exposure of pictures with several labels", () => {
  it("leaves text-probe out where nobody asked for it, and refuses it before any work where somebody did", async () => {
    await mkdir(join(folder, "several"));
    const rows = [];
    for (let i = 0; i < 24; i++) {
      const color = ["red", "blue"][i % 2];
      await writePicture(join(folder, "several", `${i}.png`), color);
      rows.push({ image: `${i}.png`, labels: i % 8 === 0 ? ["red", "blue"] : [color] });
    }
    await writeFile(join(folder, "several/metadata.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
    const words = ["exposure", join(folder, "several"), "--shots", "0,full", "--json"];
    const { exitCode, stdout, stderr } = await run(...words);
    expect(exitCode, stderr).toBe(0);
    expect(jsonLines(stdout).flatMap(({ task }) => task ?? [])).toEqual(["zero-shot", "linear-probe"]);
    expect(stderr).toContain("text-probe, which needs one label each, is left out");
    log.imageBatches.length = 0;
    await rm(ledger);
    const asked = await run(...words, "--methods", "linear-probe,text-probe");
    expect(asked.stderr).toContain("text-probe: needs one label an image");
    expect([asked.exitCode === 0, asked.stdout, log.imageBatches]).toEqual([false, "", []]);
  });
});

describe("florence eval retrieval", () => {
  it("gives recall in both directions, one line each", async () => {
    const { stdout } = await run("eval", "retrieval", await writeCaptions(), "--split", "all", "--json");
    const scores = Object.fromEntries(jsonLines(stdout).map(({ metric, score, n }) => [metric, [score, n]]));
    // Every caption but white's "red" finds its own picture first; white is found by its other one.
    expect(scores["text-to-image R@1"]).toEqual([0.9, 10]);
    expect(scores["text-to-image R@5"]).toEqual([1, 10]);
    // Red's picture takes white's "red" to be as near as its own captions: a tie counts against the model.
    expect(scores["image-to-text R@1"]).toEqual([0.8, 5]);
    const chance = Object.fromEntries(jsonLines(stdout).map((entry) => [entry.metric, entry.chance]));
    expect(chance["text-to-image R@1"]).toBe(0.2);
    expect(chance["image-to-text R@1"]).toBeCloseTo(0.2, 9);
  });
});

describe("florence exposure", () => {
  it("draws a curve, and says whether it rises", async () => {
    const set = await writeColors();
    const plot = join(folder, "curve.svg");
    const page = join(folder, "report.html");
    const words = ["--shots", "0,1,2,full", "--seeds", "3,30", "--plot", plot, "--report", page];
    const { exitCode, stdout } = await run("exposure", set, ...words);
    expect(exitCode).toBe(0);
    const [title, header, zeroShot, probe, blend, verdict] = stdout.split("\n");
    expect(title).toContain("chance 33.3 %");
    expect(header.trim().split(/\s+/)).toEqual(["images", "a", "class", "0", "1", "2", "full"]);
    expect(zeroShot).toMatch(/^zero-shot +91\.7 ± 11\.\d/);
    for (const line of [probe, blend]) expect(line.match(/91\.7 ±/g)).toHaveLength(3);
    expect(verdict).toBe("Every curve rises with exposure, from zero-shot on.");
    expect(await readFile(plot, "utf8")).toMatch(/^<svg xmlns/);
    expect(await readFile(page, "utf8")).toContain("training images a class");
    const entries = jsonLines(await readFile(ledger, "utf8"));
    expect(entries).toHaveLength(1 + 2 * (2 * 2 + 1));
  });

  it("ends with the same table after kill −9, computing nothing twice", async () => {
    const set = await writeColors();
    const words = ["exposure", set, "--shots", "0,1,2,full", "--seeds", "3,30", "--ledger", ledger, "--json"];
    const environment = { FLORENCE_CACHE: cacheFolder };
    let seen = "";
    const killed = await spawnFlorence(words, environment, {
      onStart(child) {
        child.stdout?.on("data", (bytes: Buffer) => {
          seen += bytes.toString();
          if (seen.split("\n").length > 4) child.kill("SIGKILL");
        });
      },
    });
    expect(killed.exitCode).toBeNull();
    const before = await readFile(ledger, "utf8");
    const kept = jsonLines(before.slice(0, before.lastIndexOf("\n") + 1)).length;
    expect(kept).toBeGreaterThanOrEqual(4);
    const resumed = await spawnFlorence(words, environment);
    expect(resumed.exitCode).toBe(0);
    expect(jsonLines(await readFile(ledger, "utf8"))).toHaveLength(11); // none lost, none twice
    expect((await readFile(ledger, "utf8")).startsWith(before)).toBe(true);

    const unbroken = join(folder, "unbroken.jsonl");
    const fresh = await runFlorence([...words.slice(0, 6), "--ledger", unbroken, "--json"], {
      loadModel: async () => toyModel({ log }),
      cacheFolder: join(folder, "another cache"),
    });
    expect(jsonLines(resumed.stdout).at(-1)).toEqual(jsonLines(fresh.stdout).at(-1));
    expect(jsonLines(fresh.stdout).at(-1)).toHaveProperty("exposure.curves");
  }, 180_000);
});
