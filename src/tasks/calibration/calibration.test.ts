import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { fitCalibration, judge } from "./calibration.ts";
import { readCalibration, writeCalibration } from "./calibration-file.ts";
import { acceptanceScore, learnThreshold, rejectionMethods, reportAcceptance } from "./rejection.ts";
import { correctedProbabilities, fitTemperature } from "./temperature.ts";

const classes = 4;

/** Labels drawn from softmax(logits): a model that means what it says; then its logits are made `boast` times larger. */
function boastingExamples(count: number, boast: number, bias = [0, 0, 0, 0]) {
  const rng = new Rng(count);
  const logits: number[] = [];
  const labels: number[] = [];
  for (let row = 0; row < count; row++) {
    const honest = Array.from({ length: classes }, () => 1.5 * rng.normal());
    const probabilities = correctedProbabilities(honest, { scale: 1, bias });
    let rest = rng.uniform();
    let drawn = 0;
    while (drawn < classes - 1 && rest >= probabilities[drawn]) rest -= probabilities[drawn++];
    labels.push(drawn);
    logits.push(...honest.map((logit) => boast * logit));
  }
  return { logits, labels, classes };
}

describe("fitTemperature", () => {
  it.each([0.25, 1, 4])("finds back the factor %d that logits were multiplied by", async (boast) => {
    const { logits, labels } = boastingExamples(4000, boast);
    const { scale, bias } = await fitTemperature(logits, labels, classes);
    expect(scale * boast).toBeGreaterThan(0.94);
    expect(scale * boast).toBeLessThan(1.06);
    expect(bias).toEqual([0, 0, 0, 0]);
  });

  it("finds back a bias, up to a constant", async () => {
    const { logits, labels } = boastingExamples(4000, 1, [1, 0, 0, -1]);
    const { bias } = await fitTemperature(logits, labels, classes, { withBias: true });
    expect(bias[0] - bias[3]).toBeGreaterThan(1.8);
    expect(bias[0] - bias[3]).toBeLessThan(2.2);
  });

  it("stays finite when every answer is right, or wrong", async () => {
    const right = await fitTemperature([5, 0, 0, 5], [0, 1], 2);
    expect(right.scale).toBeGreaterThan(1);
    expect(right.scale).toBeLessThan(20);
    const wrong = await fitTemperature([5, 0, 0, 5], [1, 0], 2);
    expect(wrong.scale).toBeGreaterThan(0.001);
    expect(wrong.scale).toBeLessThan(0.2);
  });
});

describe("fitCalibration", () => {
  it("lowers the calibration error of a boasting model, also on examples it has not seen", async () => {
    const { report, calibration } = await fitCalibration(boastingExamples(400, 5));
    expect(report.before.calibrationError).toBeGreaterThan(0.2);
    expect(report.heldOut?.calibrationError).toBeLessThan(0.08);
    expect(report.heldOut?.negativeLogLikelihood).toBeLessThan(report.before.negativeLogLikelihood);
    const other = boastingExamples(399, 5);
    const row = other.logits.slice(0, classes);
    expect(judge(calibration, row).probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  });

  it("rejects pictures of none of the labels at the acceptance asked for", async () => {
    const rng = new Rng(2);
    const labels = Array.from({ length: 100 }, (_, i) => (i < 60 ? i % 3 : -1));
    // Three labels and one background prompt; a known picture has a high cosine with its own label.
    const logits = labels.flatMap((label) => [0, 1, 2, 3].map((k) => (k === label ? 6 : 0) + rng.normal()));
    for (const method of rejectionMethods) {
      const examples = { logits, labels, classes: 3, backgrounds: 1 };
      const { calibration, report } = await fitCalibration(examples, { method, acceptance: 0.9 });
      expect(report.examples).toBe(60);
      expect(report.acceptance?.trueAcceptance).toBeCloseTo(0.9, 12);
      expect(report.acceptance?.unknown?.areaUnderRoc).toBeGreaterThan(0.9);
      expect(report.acceptance?.unknown?.falseAcceptance).toBeLessThan(0.25);
      expect(judge(calibration, [7, 0, 0, 0]).rejection?.rejected).toBe(false);
      expect(judge(calibration, [0.1, 0, 0, 1]).rejection?.rejected).toBe(true);
    }
  });
});

describe("rejection by hand", () => {
  const correction = { scale: 1, bias: [0, 0] };

  it("scores each method from labels and backgrounds", () => {
    const logits = [2, 1, 0.5];
    expect(acceptanceScore("max-logit", logits, correction)).toBe(2);
    expect(acceptanceScore("energy", logits, correction)).toBeCloseTo(Math.log(Math.exp(2) + Math.exp(1)), 12);
    expect(acceptanceScore("background-margin", logits, correction)).toBe(1.5);
    expect(acceptanceScore("max-probability", logits, correction)).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
    expect(() => acceptanceScore("background-margin", [2, 1], correction)).toThrow("needs a background prompt");
  });

  it("learns the highest threshold that accepts enough", () => {
    const scores = Array.from({ length: 20 }, (_, i) => i);
    expect(learnThreshold(scores, 0.95)).toBe(1);
    expect(learnThreshold(scores, 1)).toBe(0);
    expect(learnThreshold([3, 1, 2], 0.95)).toBe(1);
    expect(reportAcceptance(scores, [], 1)).toMatchObject({ trueAcceptance: 0.95 });
    expect(reportAcceptance([2, 3], [0, 1, 2, 5], 2).unknown).toMatchObject({ falseAcceptance: 0.5 });
    expect(() => learnThreshold([], 0.9)).toThrow("got 0 scores");
  });
});

describe("calibration files", () => {
  const target = { fingerprint: "ab".repeat(32), labels: ["cat", "dog"], templates: ["a {}"] };
  const stored = {
    correction: { scale: 0.5, bias: [0.25, 0] },
    rejection: { method: "energy", threshold: -1.5 },
    backgrounds: ["texture"],
  } as const;

  it("come back as they were written, for the same model, labels and templates alone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "florence-calibration-"));
    const path = join(folder, "calibration.json");
    await writeCalibration(path, stored, target);
    expect(await readCalibration(path, target)).toEqual(stored);
    const others = [
      [{ ...target, fingerprint: "cd".repeat(32) }, "the same model"],
      [{ ...target, labels: ["dog", "cat"] }, "the same labels"],
      [{ ...target, templates: ["{}"] }, "the same templates"],
    ] as const;
    for (const [other, says] of others) {
      await expect(readCalibration(path, other)).rejects.toMatchObject({
        code: "mismatch",
        message: expect.stringContaining(says),
      });
    }
    await writeFile(path, '{"format":"florence-calibration/1","scale":-1}');
    await expect(readCalibration(path, target)).rejects.toMatchObject({ code: "corrupt" });
    await writeFile(path, "scale = 1");
    await expect(readCalibration(path, target)).rejects.toThrow("must be JSON");
    await expect(readCalibration(join(folder, "none.json"), target)).rejects.toMatchObject({ code: "not-found" });
    await rm(folder, { recursive: true });
  });
});
