import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
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
  folder = await mkdtemp(join(tmpdir(), "florence-few-shot-"));
  await writeTinyModel(join(folder, "base"));
  await writeColourSet(join(folder, "colours"), 6);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const wordsFor = (ledger: string, ...more: string[]): string[] => [
  ...["eval", "few-shot", join(folder, "colours"), "--model", join(folder, "base"), "--ledger", join(folder, ledger)],
  ...["--ways", "3", "--shots", "4", "--queries", "3", "--json", ...more],
];

const run = (cache: string, ledger: string, ...more: string[]) =>
  runFlorence(wordsFor(ledger, ...more), { loadModel, cacheFolder: join(folder, cache) });

const tune = ["--method", "tune", "--episodes", "5", "--epochs", "15", "--learning-rate", "0.02"];

/** Accuracies on record of episodes that an unfinished run has behind it. */
async function recordOf(cache: string): Promise<Record<string, unknown>[]> {
  const runs = join(folder, cache, "evaluation-runs");
  const [name] = await readdir(runs).catch(() => []);
  const text = name === undefined ? "" : await readFile(join(runs, name), "utf8");
  return jsonLines(text.slice(0, text.lastIndexOf("\n") + 1));
}

describe("florence eval few-shot --method tune", () => {
  it("tunes the tower in every episode, and puts all that decided it into the ledger", async () => {
    const { exitCode, stdout, stderr } = await run("cache", "ledger.jsonl", ...tune);
    expect(exitCode, stderr).toBe(0);
    const [entry] = jsonLines(stdout);
    expect(entry).toMatchObject({ task: "few-shot", n: 5, chance: 1 / 3, seed: 10, failed: 0 });
    expect(entry.score).toBeGreaterThan(0.8);
    expect(entry.protocol).toMatchObject({
      ...{ method: "tune", shots: 4, ways: 3, queries: 3, episodes: 5, epochs: 15, batch: 25 },
      ...{ encoderRate: 0.02, encoderMomentum: 0.9, headRate: 0.01, headMomentum: 0.99, dropout: 0.5, flip: true },
    });
    expect(await recordOf("cache")).toEqual([]); // all is in the ledger
    const frozen = jsonLines((await run("cache", "ledger.jsonl", "--method", "prototype", "--episodes", "5")).stdout);
    expect(frozen[0].protocol).not.toHaveProperty("epochs");
  });

  it("goes on after kill −9 behind the last finished episode, to the same score", async () => {
    const child = spawn(process.execPath, ["--import", "tsx", main, ...wordsFor("killed.jsonl", ...tune)], {
      env: { ...process.env, FLORENCE_CACHE: join(folder, "killed") },
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    let before: Record<string, unknown>[] = [];
    while (before.length < 2 && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      before = await recordOf("killed");
    }
    child.kill("SIGKILL");
    await ended;
    const kept = await recordOf("killed");
    expect(kept.length).toBeGreaterThanOrEqual(2);
    expect(kept.length).toBeLessThan(5);
    const resumed = jsonLines((await run("killed", "killed.jsonl", ...tune)).stdout);
    const unbroken = jsonLines((await run("fresh", "fresh.jsonl", ...tune)).stdout);
    const { score, interval, metrics } = resumed[0];
    expect({ score, interval, metrics }).toEqual({
      score: unbroken[0].score,
      interval: unbroken[0].interval,
      metrics: unbroken[0].metrics,
    });
  }, 120_000);

  it("refuses settings of tuning where the encoder is frozen, and epochs that are no whole number", async () => {
    const frozen = await run("cache", "ledger.jsonl", "--epochs", "5");
    expect(frozen.stderr).toContain("few-shot: --epochs needs --method tune, got logistic. Leave it out.");
    const broken = await run("cache", "ledger.jsonl", "--method", "tune", "--epochs", "2.5");
    expect(broken.stderr).toContain("few-shot: --epochs must be a whole number, got 2.5. Round it.");
    expect([frozen.exitCode, broken.exitCode]).toEqual([2, 2]);
  });
});
