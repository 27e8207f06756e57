import { closeSync, existsSync, openSync } from "node:fs";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { OutputFailed } from "../../src/cli/exit-codes.ts";
import { runCli } from "../../src/cli/program.ts";
import { UserError } from "../../src/core/errors.ts";
import { jsonLines, runFlorence, spawnFlorence, writePicture } from "./run-florence.ts";
import { type ToyLog, toyModel } from "./toy-model.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-command-line-"));
  for (let i = 0; i < 200; i++) await writePicture(join(folder, `${i}.png`), "red", 4, 4);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(words: string[], loadModel = async () => toyModel()) {
  return runFlorence(words, { loadModel, cacheFolder: join(folder, "cache") });
}

describe("florence", () => {
  it.each(commands.map(({ name }) => name))("%s --help shows the usage and at least two examples", async (name) => {
    const { exitCode, stdout, stderr } = await run([name, "--help"]);
    expect(stdout).toContain(`Usage: florence ${name}`);
    expect(stdout).toContain("--json");
    expect(stdout.match(/^ {2}\$ florence /gm)?.length).toBeGreaterThanOrEqual(2);
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
  });

  it("lists its commands, and prints its version", async () => {
    const { exitCode, stdout } = await run(["--help"]);
    for (const { name } of commands) expect(stdout).toContain(`\n  ${name} `);
    expect(exitCode).toBe(0);
    expect(await run(["--version"])).toEqual({ exitCode: 0, stdout: "0.0.0\n", stderr: "" });
  });

  it.each([
    { words: [], says: "Usage: florence" },
    { words: ["clasify"], says: "Did you mean classify?" },
    { words: ["search", "."], says: "missing required argument 'sentence'" },
    { words: ["search", ".", "a", "b"], says: "too many arguments" },
    { words: ["embed", "--txt", "a"], says: "Did you mean --text?" },
    { words: ["search", ".", "a", "--top", "0"], says: "whole number from 1" },
    { words: ["search", ".", "a", "--threshold", "high"], says: "number from -1 to 1" },
    { words: ["models", "delete"], says: "Allowed choices are list, show" },
  ])("answers 2 to $words: $says", async ({ words, says }) => {
    const { exitCode, stdout, stderr } = await run(words);
    expect(stderr).toContain(says);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  it("maps a model that cannot be loaded to its exit code, and a bug to 1 with its trace", async () => {
    const damaged = await run(["embed", "--text", "a"], async () => {
      throw new UserError("corrupt", "weights: must be whole, got half. Fetch them again.");
    });
    expect(damaged).toEqual({
      exitCode: 5,
      stdout: "",
      stderr: "florence: weights: must be whole, got half. Fetch them again.\n",
    });
    const bug = await run(["embed", "--text", "a"], async () => {
      throw new TypeError("x is undefined");
    });
    expect(bug.exitCode).toBe(1);
    expect(bug.stderr).toMatch(/internal error.*\n.*TypeError: x is undefined\n\s+at /);
  });
});

describe("the process", () => {
  const words = () => ["classify", folder, "--labels", "red,green", "--json"];

  it("writes data to stdout only and ends with the exit code", async () => {
    const { exitCode, stdout, stderr } = await spawnFlorence(words(), { FLORENCE_CACHE: join(folder, "cache") });
    expect(jsonLines(stdout)).toHaveLength(200);
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
  });

  it("stops quietly when its reader goes away", async () => {
    const environment = { FLORENCE_CACHE: join(folder, "cache"), TOY_DELAY_MS: "5" };
    const { exitCode, stderr } = await spawnFlorence(words(), environment, {
      onOutput: (child) => child.stdout?.destroy(),
    });
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
  });

  // A device that every write fails on for want of space; Linux has it.
  it.runIf(existsSync("/dev/full"))("says that its output cannot be written, and answers 4", async () => {
    const output = openSync("/dev/full", "w");
    const environment = { FLORENCE_CACHE: join(folder, "cache"), TOY_DELAY_MS: "5" };
    const message = "florence: standard output: needs free disk space, got ENOSPC. Free some and retry.\n";
    for (const own of [["models", "--json"], ["--help"], words()]) {
      const { exitCode, stderr } = await spawnFlorence(own, environment, { output });
      expect([own[0], exitCode, stderr]).toEqual([own[0], 4, message]);
    }
    closeSync(output);
  });

  it("frees the model when its output cannot be written", async () => {
    const log: ToyLog = { imageBatches: [], texts: [], disposed: 0 };
    const stop = new AbortController();
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error("full"), { code: "ENOSPC" })),
    });
    stdout.on("error", (error) => stop.abort(new OutputFailed(error)));
    const stderr: string[] = [];
    const exitCode = await runCli(words(), {
      stdout,
      stderr: new Writable({
        write: (chunk, _encoding, done) => {
          stderr.push(String(chunk));
          done();
        },
      }),
      environment: { FLORENCE_CACHE: join(folder, "cache-full") },
      signal: stop.signal,
      loadModel: async () => toyModel({ log, delayMs: 5 }),
      ...{ commands, version: "0.0.0" },
    });
    expect([exitCode, log.disposed, stderr.join("")]).toEqual([4, 1, expect.stringContaining("got ENOSPC")]);
    expect(log.imageBatches.reduce((sum, size) => sum + size, 0)).toBeLessThan(200);
  });

  it.each(["SIGINT", "SIGTERM"] as const)("answers 130 to %s, after whole lines", async (signal) => {
    const environment = { FLORENCE_CACHE: join(folder, "cache"), TOY_DELAY_MS: "20" };
    const { exitCode, stdout, stderr } = await spawnFlorence(words(), environment, {
      onOutput: (child) => child.kill(signal),
    });
    expect(exitCode).toBe(130);
    expect(jsonLines(stdout).length).toBeLessThan(200);
    expect(stderr).toContain(`stopped by ${signal}`);
  });

  it("loses no finished batch of a search that is killed", async () => {
    const cacheFolder = join(folder, "killed-cache");
    const environment = { FLORENCE_CACHE: cacheFolder, TOY_DELAY_MS: "10" };
    const words = ["search", folder, "red", "--top", "1"];
    const killed = await spawnFlorence(words, environment, {
      onStart: (child) => void whenCached(cacheFolder).then(() => child.kill("SIGKILL")),
    });
    expect(killed.exitCode).toBe(null);
    const { stderr } = await spawnFlorence(words, environment);
    const [, embedded, reused] = /\((\d+) embedded, (\d+) from the cache/.exec(stderr)?.map(Number) ?? [];
    expect(reused).toBeGreaterThanOrEqual(64);
    expect(embedded + reused).toBe(200);
  });
});

/** Resolves once a run has stored its first embeddings. */
async function whenCached(cacheFolder: string): Promise<void> {
  for (;;) {
    const names = await readdir(cacheFolder, { recursive: true }).catch(() => []);
    const segment = names.find((name) => name.endsWith(".segment"));
    if (segment && (await stat(join(cacheFolder, segment))).size > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
