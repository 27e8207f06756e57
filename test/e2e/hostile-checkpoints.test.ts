import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { damagedFamilies, damages } from "../support/damage.ts";
import { DamagedCheckpoints, type DamageResult } from "../support/damaged-checkpoint.ts";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-hostile-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

// A part of what scripts/fuzz-checkpoints.ts does in a process of its own.
describe("damaged checkpoint folders", () => {
  it("of every family give an error that names a file, or are read", { timeout: 120_000 }, async () => {
    const checkpoints = await DamagedCheckpoints.create(root);
    const before = process.memoryUsage().rss;
    const results: DamageResult[] = [];
    const pairs = Object.keys(damages).length * Object.values(damagedFamilies).flat().length; // each file in each way, once
    for (let index = 0; index < pairs; index++) results.push(await checkpoints.run(index));
    const wrong = results.filter(({ outcome }) => outcome !== "read" && outcome !== "error naming the file");
    expect(wrong).toEqual([]);
    expect(new Set(results.map(({ damage }) => damage)).size).toBe(Object.keys(damages).length);
    expect(new Set(results.map(({ family }) => family)).size).toBe(7);
    const emptied = results.filter(({ damage }) => damage === "empty");
    expect(emptied.filter(({ outcome }) => outcome === "read")).toEqual([]); // no file may be done without quietly
    expect(results.filter(({ outcome }) => outcome === "error naming the file").length).toBeGreaterThan(150);
    expect(Math.max(...results.map(({ milliseconds }) => milliseconds))).toBeLessThan(20_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(600e6);
    expect(existsSync("torch-file-was-executed")).toBe(false);
  });

  it("are read again when mended", { timeout: 60_000 }, async () => {
    const checkpoints = await DamagedCheckpoints.create(root);
    for (let index = 0; index < 5; index++) await checkpoints.run(index);
    const { readCheckpoint } = await import("../../src/zoo/checkpoint-formats.ts");
    for (const family of ["clip-hugging-face", "open-clip", "siglip", "siglip2", "unicl", "openai"]) {
      expect((await readCheckpoint(join(root, family))).weights.size).toBeGreaterThan(20);
    }
  });
});
