import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";
import { writeColourSet, writeTinyModel } from "./tiny-model.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-exposure-"));
  await writeTinyModel(join(folder, "base"));
  await writeColourSet(join(folder, "colours"), 6);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const wordsFor = (run: string, ...more: string[]): string[] => [
  ...["exposure", join(folder, "colours"), "--model", join(folder, "base"), "--ledger", join(folder, `${run}.jsonl`)],
  ...["--shots", "0,2,full", "--seeds", "3,30", "--methods", "linear-probe,fine-tune", "--json", ...more],
];

const tuning = ["--tuning", "head", "--head-start", "probe", "--epochs", "5", "--learning-rate", "0.01"];

const run = (name: string, ...more: string[]) =>
  runFlorence(wordsFor(name, ...more), { loadModel, cacheFolder: join(folder, `${name} cache`) });

const ledgerOf = async (name: string): Promise<Record<string, unknown>[]> => {
  const text = await readFile(join(folder, `${name}.jsonl`), "utf8").catch(() => "");
  return jsonLines(text.slice(0, text.lastIndexOf("\n") + 1));
};

describe("florence exposure --methods fine-tune", () => {
  it("draws the curve of tuning beside that of the probe, and keeps all that decided it", async () => {
    const { exitCode, stdout, stderr } = await run("whole", ...tuning);
    expect(exitCode, stderr).toBe(0);
    const lines = jsonLines(stdout);
    const tuned = lines.filter(({ task }) => task === "fine-tune");
    expect(tuned.map(({ protocol, seed }) => [(protocol as { shots: unknown }).shots, seed])).toEqual([
      [2, 3],
      [2, 30],
      ["full", 3],
    ]);
    for (const { protocol } of tuned) {
      expect(protocol).toMatchObject({ method: "head", headStart: "probe", epochs: 5, learningRate: 0.01 });
    }
    const { curves } = (lines.at(-1) as { exposure: { curves: { method: string; points: unknown[] }[] } }).exposure;
    expect(curves.map(({ method, points }) => [method, points.length])).toEqual([
      ["zero-shot", 1],
      ["linear-probe", 2],
      ["fine-tune, head from probe", 2],
    ]);
    // What a tuning needs on the way is gone once its score stands.
    expect(await readdir(join(folder, "whole cache", "evaluation-runs"))).toEqual([]);
  });

  it("trains on the names that it scores by, and keeps decoded pictures with the run alone", async () => {
    const score = async (ledger: string, names: readonly string[]) => {
      await writeFile(join(folder, "names.txt"), names.join("\n"));
      const { stdout, stderr } = await runFlorence(
        [
          ...["eval", "fine-tune", join(folder, "colours"), "--model", join(folder, "base"), "--epochs", "5", "--json"],
          ...["--ledger", join(folder, ledger), "--shots", "2", "--seeds", "3", "--learning-rate", "0.01"],
          ...["--class-names", join(folder, "names.txt")],
        ],
        { loadModel, cacheFolder: join(folder, "names cache") },
      );
      const [entry] = jsonLines(stdout);
      expect(entry, stderr).toMatchObject({ protocol: { trainedNames: "as scored" } });
      expect(await readdir(join(folder, "names cache", "evaluation-runs"))).toEqual([]);
      return entry;
    };
    await score("names-a.jsonl", ["sky", "leaf", "blood"]);
    expect(await readdir(join(folder, "names cache"))).not.toContain("pixels");
  });

  it("ends with the same table after kill −9 in the middle of it", async () => {
    const child = spawn(process.execPath, ["--import", "tsx", main, ...wordsFor("killed", ...tuning)], {
      env: { ...process.env, FLORENCE_CACHE: join(folder, "killed cache") },
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    const tunings = async () => (await ledgerOf("killed")).filter(({ task }) => task === "fine-tune").length;
    while ((await tunings()) === 0 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGKILL");
    await ended;
    const before = await ledgerOf("killed");
    expect(before.length).toBeLessThan(7);
    const resumed = await run("killed", ...tuning);
    expect(resumed.exitCode, resumed.stderr).toBe(0);
    const after = await ledgerOf("killed");
    expect(after).toHaveLength(7); // zero-shot, three probes, three tunings: none lost, none twice
    expect(after.slice(0, before.length)).toEqual(before);
    const whole = await run("whole", ...tuning);
    expect(jsonLines(resumed.stdout).at(-1)).toEqual(jsonLines(whole.stdout).at(-1));
  }, 120_000);

  it("refuses settings of tuning that nothing would heed", async () => {
    const words = wordsFor("refused").map((word) => (word === "linear-probe,fine-tune" ? "linear-probe" : word));
    const { exitCode, stderr } = await runFlorence([...words, "--epochs", "5"], {
      loadModel,
      cacheFolder: join(folder, "refused cache"),
    });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("options of tuning need fine-tune among --methods, got linear-probe.");
  });
});
