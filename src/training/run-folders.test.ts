import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withFolder } from "../io/folder-lock.ts";
import { trainDetector } from "./detection-training.ts";
import { pretrainDetector } from "./detector-pretraining.ts";
import { pretrain } from "./pretraining.ts";
import { train } from "./trainer.ts";
import { tune } from "./tuning.ts";

let runDir = "";
let held: Promise<void>;
let release: () => void;

beforeAll(async () => {
  runDir = await mkdtemp(join(tmpdir(), "florence-run-folder-"));
  await new Promise<void>((isHeld) => {
    held = withFolder(runDir, () => {
      isHeld();
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    });
  });
});

afterAll(async () => {
  release();
  await held;
  await rm(runDir, { recursive: true });
});

/** Nothing but the folder is looked at before the lock: the other options need not be there. */
const trainings: Readonly<Record<string, (options: { runDir: string }) => Promise<unknown>>> = {
  train: train as never,
  pretrain: pretrain as never,
  tune: tune as never,
  trainDetector: trainDetector as never,
  pretrainDetector: pretrainDetector as never,
};

describe("a run folder that is in use", () => {
  it.each(Object.keys(trainings))("is refused by %s at once, and left alone", async (name) => {
    await expect(trainings[name]?.({ runDir })).rejects.toMatchObject({
      code: "busy",
      message: expect.stringContaining(
        `${runDir}: must be used by one run at a time, got one that process ${process.pid}`,
      ),
    });
    expect(await readdir(runDir)).toEqual(["lock"]);
  });
});
