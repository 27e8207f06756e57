import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { acceptanceScore, type RejectionMethod, rejectionMethods } from "./acceptance-score.ts";
import { fitCalibration, judge } from "./calibration.ts";
import { readCalibration, writeCalibration } from "./calibration-file.ts";
import { learnThreshold, reportAcceptance } from "./rejection.ts";
import type { CalibrationExample } from "./rejection-fit.ts";
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

/** Rows of logits as examples; embeddings that say nothing. */
function examplesOf({ logits, labels }: ReturnType<typeof boastingExamples>): CalibrationExample[] {
  const width = logits.length / labels.length;
  return labels.map((label, i) => ({ label, logits: logits.slice(i * width, (i + 1) * width), embedding: [1, 0] }));
}

const away = 0.6; // how far outside pictures lie from those of the labels

/** Three labels and one background prompt; embeddings around an axis for each label, and a fourth for what is outside. */
function mixedExamples(count: number, groups = 6): CalibrationExample[] {
  const rng = new Rng(count);
  return Array.from({ length: count }, (_, i) => {
    const label = i % 5 < 3 ? i % 5 : -1;
    const vector = [0, 1, 2, 3].map((k) => (k === (label < 0 ? 3 : label) ? away : 0) + 0.25 * rng.normal());
    const length = Math.hypot(...vector);
    return {
      label,
      logits: [0, 1, 2, 3].map((k) => (k === label ? 6 : 0) + rng.normal()),
      embedding: vector.map((value) => value / length),
      ...(label < 0 && { group: `kind ${i % groups}` }),
    };
  });
}

describe("fitCalibration", () => {
  it("lowers the calibration error of a boasting model, also on examples it has not seen", async () => {
    const { report, calibration } = await fitCalibration(examplesOf(boastingExamples(400, 5)), { classes });
    expect(report.before.calibrationError).toBeGreaterThan(0.2);
    expect(report.heldOut?.calibrationError).toBeLessThan(0.08);
    expect(report.heldOut?.negativeLogLikelihood).toBeLessThan(report.before.negativeLogLikelihood);
    const [other] = examplesOf(boastingExamples(399, 5));
    expect(judge(calibration, other).probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  });

  it.each(rejectionMethods)(
    "rejects pictures of none of the labels at the acceptance asked for: %s",
    async (method) => {
      const examples = mixedExamples(150);
      const { calibration, report } = await fitCalibration(examples, { classes: 3, method, acceptance: 0.9 });
      expect(report.examples).toBe(90);
      expect(report.acceptance?.trueAcceptance).toBeCloseTo(0.9, 12);
      expect(report.acceptance?.unknown?.areaUnderRoc).toBeGreaterThan(0.9);
      // On others, drawn alike.
      const others = mixedExamples(1000);
      const rejected = others.map((example) => judge(calibration, example).rejection?.rejected);
      const share = (known: boolean) => {
        const own = rejected.filter((_, i) => others[i].label >= 0 === known);
        return own.filter(Boolean).length / own.length;
      };
      expect(share(true)).toBeLessThan(0.2);
      expect(share(false)).toBeGreaterThan(0.7);
    },
  );

  it("chooses the method that tells the examples apart, by folds that no rule was fitted on", async () => {
    // Embeddings tell outside pictures, logits do not.
    const examples = mixedExamples(150).map((example, i) => ({ ...example, logits: [i % 7, (3 * i) % 5, 1, 0] }));
    const { calibration, report } = await fitCalibration(examples, { classes: 3, method: "best" });
    expect(report.tried?.map(({ rule }) => rule.method)).toEqual([...rejectionMethods]);
    expect(["example-gate", "example-likeness"]).toContain(calibration.rejection?.rule.method);

    // Outside pictures that are like those of the labels in all: a gate can learn them by heart, and folds see through it.
    const noise = mixedExamples(60).map((example, i) => {
      const rng = new Rng(i);
      const vector = Array.from({ length: 128 }, () => rng.normal());
      return { ...example, embedding: vector.map((value) => value / Math.hypot(...vector)) };
    });
    const gate = (await fitCalibration(noise, { classes: 3, method: "example-gate" })).report.tried?.[0];
    expect(gate?.areaUnderRoc).toBeGreaterThan(0.2);
    expect(gate?.areaUnderRoc).toBeLessThan(0.8);
    const itself = (example: CalibrationExample) =>
      acceptanceScore(gate?.rule as never, example, { scale: 1, bias: [0, 0, 0] });
    const lowestKnown = Math.min(...noise.filter(({ label }) => label >= 0).map(itself));
    const highestUnknown = Math.max(...noise.filter(({ label }) => label < 0).map(itself));
    expect(lowestKnown).toBeGreaterThan(highestUnknown); // by heart, indeed
  });

  it("rejects without outside examples, too", async () => {
    const known = mixedExamples(150).filter(({ label }) => label >= 0);
    const { calibration, report } = await fitCalibration(known, { classes: 3, method: "best" });
    expect(calibration.rejection?.rule.method).toBe("background-share");
    expect(report.acceptance?.unknown).toBeUndefined();
    const bare = known.map((example) => ({ ...example, logits: Array.from(example.logits).slice(0, 3) }));
    const without = await fitCalibration(bare, { classes: 3, method: "best" });
    expect(without.calibration.rejection?.rule.method).toBe("example-likeness");
  });
});

describe("rejection by hand", () => {
  const correction = { scale: 1, bias: [0, 0] };

  it("scores each method from labels, backgrounds and examples", () => {
    const picture = { logits: [2, 1, 0.5, -0.5], embedding: [0.6, 0.8] };
    const score = (method: Exclude<RejectionMethod, `example-${string}`>) =>
      acceptanceScore({ method }, picture, correction);
    expect(score("max-logit")).toBe(2);
    expect(score("energy")).toBeCloseTo(Math.log(Math.exp(2) + Math.exp(1)), 12);
    expect(score("background-margin")).toBe(1.5);
    expect(score("background-share")).toBeCloseTo(
      Math.log((Math.exp(2) + Math.exp(1)) / (Math.exp(0.5) + Math.exp(-0.5))),
      12,
    );
    expect(score("max-probability")).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
    const means = [
      [1, 0],
      [0, 1],
    ];
    expect(acceptanceScore({ method: "example-likeness", means }, picture, correction)).toBe(0.8);
    const gate = { method: "example-gate", weights: [2, -1], bias: 0.5 } as const;
    expect(acceptanceScore(gate, picture, correction)).toBeCloseTo(0.9, 12);
    const bare = { ...picture, logits: [2, 1] };
    expect(() => acceptanceScore({ method: "background-margin" }, bare, correction)).toThrow(
      "needs a background prompt",
    );
    expect(() => acceptanceScore(gate, { ...picture, embedding: [1] }, correction)).toThrow("embedding of 2 numbers");
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
  const target = { fingerprint: "ab".repeat(32), embedDim: 2, labels: ["cat", "dog"], templates: ["a {}"] };
  const stored = {
    correction: { scale: 0.5, bias: [0.25, 0] },
    rejection: { rule: { method: "energy" }, threshold: -1.5 },
    backgrounds: ["texture"],
  } as const;
  const learned = [
    { method: "example-likeness", means: [[0.6, 0.8]] },
    { method: "example-gate", weights: [1.5, -0.25], bias: 0.125 },
  ] as const;

  it("come back as they were written, for the same model, labels and templates alone", async () => {
    const folder = await mkdtemp(join(tmpdir(), "florence-calibration-"));
    const path = join(folder, "calibration.json");
    await writeCalibration(path, stored, target);
    expect(await readCalibration(path, target)).toEqual(stored);
    for (const rule of learned) {
      const withRule = { ...stored, rejection: { rule, threshold: 2 } };
      await writeCalibration(path, withRule, target);
      expect(await readCalibration(path, target)).toEqual(withRule);
      await expect(readCalibration(path, { ...target, embedDim: 3 })).rejects.toThrow("the model's 3 numbers, got 2");
    }
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
