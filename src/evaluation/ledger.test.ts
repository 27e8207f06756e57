import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Ledger, readLedger } from "./ledger.ts";
import { entryKey, type LedgerEntry } from "./ledger-entry.ts";

const entry: LedgerEntry = {
  task: "zero-shot",
  metric: "top-1",
  score: 0.75,
  interval: [0.6, 0.86],
  chance: 0.1,
  n: 40,
  failed: 1,
  model: { name: "toy", fingerprint: "0123456789abcdef" },
  data: { name: "photos", fingerprint: "fedcba9876543210", split: "test" },
  protocol: { templates: "0a1b", shots: 3 },
  seed: 3,
  metrics: { "top-5": 0.9 },
  version: "0.1.0",
  seconds: 1.5,
  date: "2026-01-02T03:04:05.000Z",
};

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-ledger-"));
  path = join(folder, "new/ledger.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("Ledger", () => {
  it("keeps what was appended, and finds it by what decides the score", async () => {
    (await Ledger.open(path)).append(entry);
    const ledger = await Ledger.open(path);
    expect(ledger.entries).toEqual([entry]);
    expect(ledger.find({ ...entry })).toEqual(entry);
    for (const other of [
      { ...entry, seed: 30 },
      { ...entry, seed: null },
      { ...entry, metric: "mean-per-class" },
      { ...entry, task: "linear-probe" },
      { ...entry, protocol: { ...entry.protocol, shots: 5 } },
      { ...entry, model: { name: "toy", fingerprint: "ffffffffffffffff" } },
      { ...entry, data: { ...entry.data, split: "val" } },
      { ...entry, data: { ...entry.data, fingerprint: "00000000" } },
    ]) {
      expect(ledger.find(other)).toBeUndefined();
    }
  });

  it("does not tell entries apart by names, dates or the order of fields", () => {
    const same = {
      ...entry,
      model: { ...entry.model, name: "copy" },
      protocol: { shots: 3, templates: "0a1b" },
      date: "2027-01-01T00:00:00.000Z",
    };
    expect(entryKey(same)).toBe(entryKey(entry));
  });

  it("adds lines and changes none; the last entry of a key counts", async () => {
    const ledger = await Ledger.open(path);
    ledger.append(entry);
    const first = await readFile(path, "utf8");
    ledger.append({ ...entry, score: 0.5, interval: [0.4, 0.6] });
    expect((await readFile(path, "utf8")).startsWith(first)).toBe(true);
    expect((await readLedger(path)).entries).toHaveLength(2);
    expect((await Ledger.open(path)).entries.map(({ score }) => score)).toEqual([0.5]);
  });

  it("goes on after a torn line, which is reported with its number", async () => {
    const ledger = await Ledger.open(path);
    ledger.append(entry);
    await appendFile(path, JSON.stringify(entry).slice(0, 57));
    const resumed = await Ledger.open(path);
    expect(resumed.damaged.map(({ line }) => line)).toEqual([2]);
    resumed.append({ ...entry, seed: 30 });
    const again = await Ledger.open(path);
    expect(again.entries.map(({ seed }) => seed)).toEqual([3, 30]);
    expect(again.damaged.map(({ line }) => line)).toEqual([2]);
  });

  it("says what is wrong with a line", async () => {
    const bad = [
      "[]",
      JSON.stringify({ ...entry, score: 75 }),
      JSON.stringify({ ...entry, interval: undefined }),
      JSON.stringify({ ...entry, n: 0 }),
    ];
    await writeFile(
      join(folder, "bad.jsonl"),
      `${[...bad, JSON.stringify({ ...entry, added: "later" })].join("\n")}\n`,
    );
    const { entries, damaged } = await readLedger(join(folder, "bad.jsonl"));
    expect(entries).toEqual([{ ...entry, added: "later" }]);
    expect(damaged.map(({ line }) => line)).toEqual([1, 2, 3, 4]);
    expect(damaged[1].message).toContain("score");
    expect(damaged[2].message).toContain("interval");
    expect(damaged[3].message).toContain("n:");
  });

  it("refuses to write what would not read back", async () => {
    const ledger = await Ledger.open(path);
    expect(() => ledger.append({ ...entry, score: Number.NaN })).toThrow();
    await expect(readFile(path)).rejects.toThrow();
  });

  it("wants a ledger that is read to be there", async () => {
    await expect(readLedger(path)).rejects.toMatchObject({ code: "not-found" });
  });
});
