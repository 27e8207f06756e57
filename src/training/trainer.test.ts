import { mkdtemp, rm } from "node:fs/promises";
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

  it("refuses a run of another recipe", async () => {
    await train(optionsFor(quadratic(), folder, { totalSteps: 2 }));
    await expect(train(optionsFor(quadratic(), folder, { configHash: "other" }))).rejects.toThrow("other");
  });
});
