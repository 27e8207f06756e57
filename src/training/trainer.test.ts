import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WeightTensor } from "../io/safetensors.ts";
import type { Objective } from "../tasks/objective.ts";
import { AdamW } from "./adamw.ts";
import { readLatestCheckpoint } from "./checkpoint.ts";
import { type StepReport, type TrainerOptions, train } from "./trainer.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-trainer-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const target = [1, -2, 0.5];

/** ½‖w − target‖² with a wobble that depends on the step alone, as batches do. */
function quadratic(badSteps: readonly number[] = []): Objective {
  const data = new Float32Array(target.length);
  return {
    weights: new Map<string, WeightTensor>([["w", { shape: [target.length], data }]]),
    samplesPerStep: 1,
    async step(step) {
      const difference = data.map((value, i) => value - target[i]);
      const loss = 0.5 * difference.reduce((sum, value) => sum + value * value, 0);
      const wobble = 0.01 * Math.sin(step);
      const gradient = difference.map((value) => (badSteps.includes(step) ? Number.NaN : value + wobble));
      return { loss, gradients: new Map([["w", gradient]]), engineMs: 0 };
    },
    async dispose() {},
  };
}

function optionsFor(objective: Objective, runDir: string, more: Partial<TrainerOptions> = {}): TrainerOptions {
  return {
    objective,
    runDir,
    totalSteps: 20,
    schedule: { kind: "constant", rate: 0.05 },
    optimizer: new AdamW(objective.weights, { weightDecay: 0 }),
    averageDecay: 0.9,
    seed: 1,
    configHash: "toy",
    checkpointMinutes: 60,
    ...more,
  };
}

const valuesOf = (weights: ReadonlyMap<string, WeightTensor>) => Array.from((weights.get("w") as WeightTensor).data);

describe("train", () => {
  it("converges and reports every step once", async () => {
    const reports: StepReport[] = [];
    const objective = quadratic();
    const onStep = (report: StepReport) => void reports.push(report);
    const summary = await train(optionsFor(objective, folder, { totalSteps: 300, onStep }));
    expect(summary).toMatchObject({ finished: true, steps: 300 });
    expect(reports.map(({ step }) => step)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(reports.at(-1)?.loss).toBeLessThan(1e-3);
    for (const [i, value] of valuesOf(summary.weights).entries())
      expect(Math.abs(value - target[i])).toBeLessThan(0.05);
    for (const { outsideEngine } of reports) expect(outsideEngine).toBeLessThanOrEqual(1);
  });

  it("stops at a signal with a checkpoint, and goes on to identical losses, weights and averages", async () => {
    const losses: number[] = [];
    const unbroken = quadratic();
    const whole = await train(
      optionsFor(unbroken, join(folder, "whole"), { onStep: ({ loss }) => void losses.push(loss) }),
    );

    const parts: number[] = [];
    const runDir = join(folder, "parts");
    const controller = new AbortController();
    const stopped = await train(
      optionsFor(quadratic(), runDir, {
        signal: controller.signal,
        onStep({ step, loss }) {
          parts.push(loss);
          if (step === 7) controller.abort();
        },
      }),
    );
    expect(stopped).toMatchObject({ finished: false, steps: 7 });
    expect((await readLatestCheckpoint(runDir))?.step).toBe(7);

    const starts: number[] = [];
    const resumed = quadratic();
    const rest = await train(
      optionsFor(resumed, runDir, {
        onStart: (step) => void starts.push(step),
        onStep: ({ loss }) => void parts.push(loss),
      }),
    );
    expect(starts).toEqual([7]);
    expect(parts).toEqual(losses);
    expect(valuesOf(resumed.weights)).toEqual(valuesOf(unbroken.weights));
    expect(valuesOf(rest.weights)).toEqual(valuesOf(whole.weights));
    expect(rest.wallSeconds).toBeGreaterThan(stopped.wallSeconds);
  });

  it("resumes from the last timed checkpoint when it was not given the time to stop", async () => {
    const unbroken = quadratic();
    await train(optionsFor(unbroken, join(folder, "whole")));
    const runDir = join(folder, "killed");
    const killed = train(
      optionsFor(quadratic(), runDir, {
        checkpointMinutes: 0,
        onStep({ step }) {
          if (step === 12) throw new Error("killed");
        },
      }),
    );
    await expect(killed).rejects.toThrow("killed");
    const resumed = quadratic();
    const steps: number[] = [];
    await train(optionsFor(resumed, runDir, { onStep: ({ step }) => void steps.push(step) }));
    expect(steps[0]).toBe(12); // done again, since it was never saved
    expect(valuesOf(resumed.weights)).toEqual(valuesOf(unbroken.weights));
  });

  it("leaves out the update of a gradient that is not finite and goes on", async () => {
    const applied: boolean[] = [];
    const history: number[][] = [];
    const objective = quadratic([3]);
    const optimizer = new AdamW(objective.weights, { weightDecay: 0 });
    const summary = await train(
      optionsFor(objective, folder, {
        optimizer,
        totalSteps: 6,
        onStep(report) {
          applied.push(report.applied);
          history.push(valuesOf(objective.weights));
        },
      }),
    );
    expect(applied).toEqual([true, true, true, false, true, true]);
    expect(history[3]).toEqual(history[2]);
    expect(history[4]).not.toEqual(history[3]);
    expect(optimizer.steps).toBe(5);
    expect(valuesOf(summary.weights).every(Number.isFinite)).toBe(true);
  });

  it("does nothing more to a finished run", async () => {
    await train(optionsFor(quadratic(), folder));
    const steps: number[] = [];
    const again = await train(optionsFor(quadratic(), folder, { onStep: ({ step }) => void steps.push(step) }));
    expect(steps).toEqual([]);
    expect(again).toMatchObject({ finished: true, steps: 20 });
  });

  it("warns of the first update left out, and says at the end how many were", async () => {
    const warnings: string[] = [];
    const onWarning = (message: string) => void warnings.push(message);
    const summary = await train(optionsFor(quadratic([3, 5, 6]), folder, { onWarning }));
    expect(summary.skipped).toBe(3);
    expect(warnings).toEqual([
      expect.stringContaining("the update of step 4 is left out"),
      expect.stringContaining("3 of 20 updates were left out"),
    ]);
    expect(await train(optionsFor(quadratic(), folder))).toMatchObject({ skipped: 3 }); // after a resume
  });

  it("stops with a checkpoint when the gradient stays not finite", async () => {
    const bad = Array.from({ length: 90 }, (_, i) => i + 10);
    const run = train(optionsFor(quadratic(bad), folder, { totalSteps: 100 }));
    await expect(run).rejects.toThrow("50 updates in a row were left out. Lower the learning rate");
    expect((await readLatestCheckpoint(folder))?.step).toBe(60);
  });

  it("is no success when every update was left out, however few, nor when it is run again", async () => {
    const options = { totalSteps: 4 };
    const all = [0, 1, 2, 3];
    await expect(train(optionsFor(quadratic(all), folder, options))).rejects.toThrow("all 4 updates were left out");
    await expect(train(optionsFor(quadratic(all), folder, options))).rejects.toThrow("all 4 updates were left out");
  });

  it("leaves alone the damaged checkpoint it passed over, and all of them if none is whole", async () => {
    for (const totalSteps of [2, 4, 9]) await train(optionsFor(quadratic(), folder, { totalSteps }));
    await truncate(join(folder, "checkpoint-9", "model.safetensors"), 20);
    const skipped: string[] = [];
    await train(optionsFor(quadratic(), folder, { totalSteps: 6, onSkip: (place) => void skipped.push(place) }));
    expect(skipped).toEqual([join(folder, "checkpoint-9")]);
    const names = ["checkpoint-4", "checkpoint-6", "checkpoint-9", "latest"];
    expect((await readdir(folder)).sort()).toEqual(names);
    for (const step of [4, 6]) await truncate(join(folder, `checkpoint-${step}`, "state.json"), 5);
    await expect(train(optionsFor(quadratic(), folder))).rejects.toThrow("got only damaged ones");
    expect((await readdir(folder)).sort()).toEqual(names);
  });

  it("refuses a second run in the folder of a running one, which loses nothing", async () => {
    let second: unknown;
    const options = optionsFor(quadratic(), folder, {
      checkpointMinutes: 0,
      async onStep({ step }) {
        if (step !== 9) return;
        second = await outside(() => train(optionsFor(quadratic(), folder))).catch((error: unknown) => error);
      },
    });
    const outside = AsyncLocalStorage.snapshot(); // as another caller, not as one of the run's own
    await train(options);
    expect(second).toMatchObject({ code: "busy", message: expect.stringContaining(folder) });
    expect((await readLatestCheckpoint(folder))?.step).toBe(20);
  });

  it("refuses a run of another recipe", async () => {
    await train(optionsFor(quadratic(), folder, { totalSteps: 2 }));
    await expect(train(optionsFor(quadratic(), folder, { configHash: "other" }))).rejects.toThrow("other");
  });
});
