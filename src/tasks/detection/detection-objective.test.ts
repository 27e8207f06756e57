import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomData } from "../../../test/support/evaluate.ts";
import { tinyDetector } from "../../../test/support/tiny-detector.ts";
import { classAgnostic } from "../../models/detection/detector.ts";
import { initialWeights } from "../../nn/module.ts";
import type { StepResult } from "../objective.ts";
import type { ObjectAnnotations } from "./assignment.ts";
import { type DetectionBatch, DetectionObjective } from "./detection-objective.ts";

const detector = tinyDetector(32, classAgnostic);
const start = initialWeights(detector, 4);

/** Weights of the learnable parameters whose names pass, and the rest as frozen. */
function divided(isLearnt: (name: string) => boolean) {
  const all = [...detector.learnable];
  const dataOf = (name: string): Float32Array => (start.get(name) as Float32Array).slice();
  return {
    weights: new Map(
      all.filter(([name]) => isLearnt(name)).map(([name, { shape }]) => [name, { shape, data: dataOf(name) }]),
    ),
    frozenWeights: new Map(all.filter(([name]) => !isLearnt(name)).map(([name]) => [name, dataOf(name)])),
  };
}

const box: ObjectAnnotations = { boxesXyxy: Float32Array.of(4, 6, 28, 30), classes: Int32Array.of(0) };
const nothing: ObjectAnnotations = { boxesXyxy: new Float32Array(0), classes: new Int32Array(0) };

function batchOf(side: number, objects: readonly ObjectAnnotations[]): DetectionBatch {
  const pixels = Uint8Array.from(randomData([objects.length, side, side, 3], "pixels", 0, 255));
  return { pixels, height: side, width: side, objects };
}

/** Step 0 has objects, step 1 none, step 2 larger pictures, step 3 a class that is not there. */
function batchAt(step: number): DetectionBatch {
  if (step === 1) return batchOf(32, [nothing, nothing]);
  if (step === 3) return batchOf(32, [{ ...box, classes: Int32Array.of(1) }, nothing]);
  return batchOf(step === 2 ? 48 : 32, [box, nothing]);
}

function expectClose(found: StepResult["gradients"], expected: StepResult["gradients"]): void {
  for (const [name, gradient] of found) {
    const reference = expected.get(name) as Float32Array;
    const size = Math.max(...reference.map(Math.abs), 1e-6);
    const worst = Math.max(...gradient.map((value, i) => Math.abs(value - reference[i])));
    expect(worst / size, name).toBeLessThan(1e-3);
  }
}

describe("DetectionObjective", () => {
  const whole = new DetectionObjective({ detector, ...divided(() => true), batch: 2, threads: 1, batchAt });
  const frozen = new DetectionObjective({
    detector,
    ...divided((name) => !name.startsWith("imageEncoder.")),
    batch: 2,
    threads: 1,
    batchAt,
  });
  let first: StepResult;

  beforeAll(async () => {
    first = await whole.step(0);
  });
  afterAll(async () => {
    await whole.dispose();
    await frozen.dispose();
  });

  it("gives the loss and a gradient for each weight, the same for the same step", async () => {
    expect([...first.gradients.keys()]).toEqual([...detector.learnable.keys()]);
    const nonZero = [...first.gradients.values()].filter((gradient) => gradient.some((value) => value !== 0));
    expect(nonZero.length).toBe(first.gradients.size);
    const { classification, boxes, centerness, positives } = whole.lastParts ?? {};
    expect(first.loss).toBeCloseTo((classification ?? 0) + 2 * (boxes ?? 0) + (centerness ?? 0), 5);
    expect(positives).toBeGreaterThan(3);
    expect(await whole.step(0)).toEqual({ ...first, engineMs: expect.any(Number) });
  });

  it("adds up to the same from parts of the batch side by side, one of them without an object", async () => {
    const parts = new DetectionObjective({ detector, ...divided(() => true), batch: 2, threads: 2, batchAt });
    try {
      const { loss, gradients } = await parts.step(0);
      expect(loss).toBeCloseTo(first.loss, 5);
      expect(parts.lastParts?.positives).toBe(whole.lastParts?.positives);
      expectClose(gradients, first.gradients);
      const { loss: again, gradients: same } = await parts.step(0);
      expect([again, same]).toEqual([loss, gradients]);
    } finally {
      await parts.dispose();
    }
  });

  it("learns the rest as ever with the encoder frozen", async () => {
    const { loss, gradients } = await frozen.step(0);
    expect(loss).toBeCloseTo(first.loss, 5);
    expect(gradients.size).toBeGreaterThan(10);
    for (const name of gradients.keys()) expect(name.startsWith("imageEncoder.")).toBe(false);
    expectClose(gradients, first.gradients);
  });

  it("takes pictures without objects, and of another size", async () => {
    const empty = await frozen.step(1);
    expect(empty.loss).toBeGreaterThan(0);
    expect(frozen.lastParts).toMatchObject({ boxes: 0, centerness: 0, positives: 0 });
    for (const [name, gradient] of empty.gradients) expect(gradient.every(Number.isFinite), name).toBe(true);
    expect((await frozen.step(2)).loss).toBeGreaterThan(0);
  });

  it("refuses classes that are not there", async () => {
    await expect(frozen.step(3)).rejects.toThrow("must lie in 0 … 0, got 1");
  });
});
