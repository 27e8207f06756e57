import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeTinyShard } from "../../../test/e2e/tiny-pretraining.ts";
import { ShardReader } from "../../data/shards.ts";
import { ExtraTexts } from "./extra-texts.ts";

const root = mkdtempSync(join(tmpdir(), "florence-extra-texts-"));
let shards: Map<string, ShardReader>;
beforeAll(async () => {
  for (const name of ["a", "b"]) await writeTinyShard(join(root, name), name);
  shards = new Map(["a", "b"].map((name) => [name, ShardReader.open(join(root, name))]));
});
afterAll(() => {
  for (const shard of shards.values()) shard.close();
  rmSync(root, { recursive: true, force: true });
});

describe("ExtraTexts", () => {
  it("draws different names of each set, others at each step, the same for the same step", () => {
    const extra = new ExtraTexts({ a: 4, b: 6 }, shards, "seed");
    const at = (step: number) => extra.textsAt(step).map(({ text }) => text);
    expect(extra.count).toBe(10);
    expect(new Set(at(3).slice(0, 4)).size).toBe(4);
    expect(new Set(at(3).slice(4)).size).toBe(6);
    expect(at(3)).toEqual(new ExtraTexts({ a: 4, b: 6 }, shards, "seed").textsAt(3).map(({ text }) => text));
    expect(new Set([0, 1, 2, 3].map((step) => at(step).join())).size).toBe(4);
  });

  it("refuses more names than a set has", () => {
    expect(() => new ExtraTexts({ a: 7 }, shards, "seed")).toThrow(
      'Set "a": extraTexts must be at most the 6 different names it has, got 7',
    );
  });
});
