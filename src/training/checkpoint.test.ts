import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Checkpoint,
  hashConfig,
  readCheckpoint,
  readLatestCheckpoint,
  savedConfigHash,
  writeCheckpoint,
} from "./checkpoint.ts";

let runDir = "";
beforeEach(async () => {
  runDir = await mkdtemp(join(tmpdir(), "florence-checkpoint-"));
});
afterEach(() => rm(runDir, { recursive: true }));

const tensors = (value: number) =>
  new Map([
    ["a.weight", { shape: [2, 3], data: new Float32Array(6).fill(value) }],
    ["scale", { shape: [], data: Float32Array.of(1 / 3) }],
  ]);

const checkpoint = (step: number): Checkpoint => ({
  step,
  seed: 42,
  configHash: hashConfig({ width: 3 }),
  wallSeconds: 1.5,
  optimizerSteps: step - 1,
  averageUpdates: step,
  extra: { epoch: 2, order: [3, 1, 2], best: null },
  model: tensors(step),
  optimizer: tensors(0.1),
  average: tensors(step + 0.5),
});

describe("checkpoints", () => {
  it("come back as they were written, bit for bit", async () => {
    const folder = await writeCheckpoint(runDir, checkpoint(10));
    expect(folder).toBe(join(runDir, "checkpoint-10"));
    expect(await readFile(join(runDir, "latest"), "utf8")).toBe("checkpoint-10\n");
    const read = (await readLatestCheckpoint(runDir)) as Checkpoint;
    const { model, optimizer, average, ...state } = checkpoint(10);
    expect(read).toMatchObject(state);
    for (const [part, expected] of Object.entries({ model, optimizer, average })) {
      const actual = read[part as "model"];
      expect([...actual.keys()]).toEqual([...(expected as typeof actual).keys()]);
      for (const [name, tensor] of actual) expect(tensor).toMatchObject(expected?.get(name) as object);
    }
  });

  it("may lack optimiser and average", async () => {
    const { optimizer: _optimizer, average: _average, averageUpdates: _updates, ...rest } = checkpoint(1);
    await writeCheckpoint(runDir, rest);
    const read = (await readLatestCheckpoint(runDir)) as Checkpoint;
    expect(read.optimizer).toBeUndefined();
    expect(read.averageUpdates).toBeUndefined();
  });

  it("keep the newest few and remove what killed writers left", async () => {
    await mkdir(join(runDir, ".checkpoint-9.0123456789ab.partial"));
    await mkdir(join(runDir, "checkpoint-9.0123456789ab.old"));
    await writeFile(join(runDir, "metrics.jsonl"), "");
    for (const step of [5, 10, 100, 20]) await writeCheckpoint(runDir, checkpoint(step), { keep: 2 });
    expect((await readdir(runDir)).sort()).toEqual(["checkpoint-10", "checkpoint-20", "latest", "metrics.jsonl"]);
    expect(await readLatestCheckpoint(runDir)).toMatchObject({ step: 20 });
  });

  it("replace one of the same step", async () => {
    await writeCheckpoint(runDir, checkpoint(5));
    await writeCheckpoint(runDir, { ...checkpoint(5), wallSeconds: 99 });
    expect(await readLatestCheckpoint(runDir)).toMatchObject({ step: 5, wallSeconds: 99 });
    expect((await readdir(runDir)).sort()).toEqual(["checkpoint-5", "latest"]);
  });

  it("are passed over when unfinished or damaged, and the damage is told", async () => {
    for (const step of [1, 2, 3, 4]) await writeCheckpoint(runDir, checkpoint(step), { keep: 9 });
    const inside = (step: number, name: string) => join(runDir, `checkpoint-${step}`, name);
    await truncate(inside(2, "optimizer.safetensors"), 100);
    await writeFile(inside(3, "state.json"), '{"format": "florence-check');
    await rm(inside(4, "average.safetensors"));
    await rename(join(runDir, "checkpoint-4"), join(runDir, "checkpoint-40"));
    await mkdir(join(runDir, ".checkpoint-50.0123456789ab.partial"));
    const skipped: string[] = [];
    const read = await readLatestCheckpoint(runDir, { onSkip: (_folder, reason) => skipped.push(reason) });
    expect(read?.step).toBe(1);
    expect(skipped.length).toBe(3);
    expect(skipped.join("\n")).toMatch(
      /checkpoint-40.*average[\s\S]*checkpoint-3.*state\.json[\s\S]*checkpoint-2.*optimizer/,
    );
    await expect(readCheckpoint(join(runDir, "checkpoint-3"))).rejects.toThrow("must be the state of a checkpoint");
  });

  it("are an error when all are damaged, and stay", async () => {
    for (const step of [1, 2]) {
      await writeCheckpoint(runDir, checkpoint(step));
      await truncate(join(runDir, `checkpoint-${step}`, "state.json"), 9);
    }
    const wanted = {
      code: "corrupt",
      message: expect.stringMatching(/only damaged ones: .*checkpoint-2.*checkpoint-1/),
    };
    await expect(readLatestCheckpoint(runDir)).rejects.toMatchObject(wanted);
    await expect(savedConfigHash(runDir)).rejects.toMatchObject(wanted);
    expect(await readdir(runDir)).toContain("checkpoint-1");
  });

  it("of an unknown format or that the system refuses end the reading", async () => {
    await writeCheckpoint(runDir, checkpoint(1));
    await writeCheckpoint(runDir, checkpoint(2));
    const state = join(runDir, "checkpoint-2", "state.json");
    const text = await readFile(state, "utf8");
    await writeFile(state, text.replace("florence-checkpoint/1", "florence-checkpoint/9"));
    await expect(readLatestCheckpoint(runDir)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("got florence-checkpoint/9"),
    });
    await rm(state);
    await mkdir(state); // unreadable for root as well, whom permissions do not stop
    await expect(readLatestCheckpoint(runDir)).rejects.toMatchObject({ code: "unsupported" });
    if (process.getuid?.() === 0) return;
    await rm(state, { recursive: true });
    await writeFile(state, text);
    await chmod(state, 0o000);
    await expect(readLatestCheckpoint(runDir)).rejects.toMatchObject({ code: "unreadable" });
  });

  it("that are spared stay beside the newest", async () => {
    for (const step of [1, 2, 30]) await writeCheckpoint(runDir, checkpoint(step), { keep: 9 });
    await writeCheckpoint(runDir, checkpoint(3), { spared: new Set([join(runDir, "checkpoint-30")]) });
    expect((await readdir(runDir)).sort()).toEqual(["checkpoint-2", "checkpoint-3", "checkpoint-30", "latest"]);
  });

  it("of another recipe are refused", async () => {
    await writeCheckpoint(runDir, checkpoint(1));
    await expect(readLatestCheckpoint(runDir, { configHash: "other" })).rejects.toThrow("got other. Resume with");
    expect(await readLatestCheckpoint(runDir, { configHash: hashConfig({ width: 3 }) })).toBeDefined();
  });

  it("are none in a new or empty folder", async () => {
    expect(await readLatestCheckpoint(runDir)).toBeUndefined();
    expect(await readLatestCheckpoint(join(runDir, "absent"))).toBeUndefined();
  });
});

describe("hashConfig", () => {
  it("ignores the order of keys, not of lists", () => {
    expect(hashConfig({ a: 1, b: { c: [1, 2], d: null } })).toBe(hashConfig({ b: { d: null, c: [1, 2] }, a: 1 }));
    expect(hashConfig([1, 2])).not.toBe(hashConfig([2, 1]));
  });
});
