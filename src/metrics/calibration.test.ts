import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { expectedCalibrationError, negativeLogLikelihood, reliabilityCurve, topPredictions } from "./calibration.ts";

describe("reliabilityCurve by hand", () => {
  const predictions = {
    confidences: Float64Array.of(0.95, 0.85, 0.85, 0.55, 0.5),
    correct: Uint8Array.of(1, 1, 0, 0, 1),
  };

  it("puts the upper edge into its bin", () => {
    const curve = reliabilityCurve(predictions, 10);
    expect(curve.map(({ count }) => count)).toEqual([0, 0, 0, 0, 1, 1, 0, 0, 2, 1]);
    expect(curve[4]).toEqual({ low: 0.4, high: 0.5, count: 1, confidence: 0.5, accuracy: 1 });
    expect(curve[8].accuracy).toBe(0.5);
    expect(curve[0].confidence).toBeNaN();
    expect(reliabilityCurve({ confidences: Float64Array.of(0, 1), correct: Uint8Array.of(0, 1) }, 2)).toMatchObject([
      { count: 1 },
      { count: 1 },
    ]);
  });

  it("weighs the gaps by their counts", () => {
    const gaps = [0.05, 2 * 0.35, 0.55, 0.5];
    expect(expectedCalibrationError(predictions, 10)).toBeCloseTo(gaps.reduce((a, b) => a + b) / 5, 12);
  });

  it("is small for a model that means what it says, large for one that boasts", () => {
    const rng = new Rng(1);
    const confidences = Float64Array.from({ length: 20_000 }, () => rng.uniform(0.2, 1));
    const correct = Uint8Array.from(confidences, (p) => (rng.uniform() < p ? 1 : 0));
    expect(expectedCalibrationError({ confidences, correct })).toBeLessThan(0.015);
    const boasting = { confidences: confidences.map((p) => Math.min(1, p + 0.3)), correct };
    expect(expectedCalibrationError(boasting)).toBeGreaterThan(0.2);
  });

  it("refuses what is no confidence", () => {
    const bad = { confidences: Float64Array.of(1.2), correct: Uint8Array.of(1) };
    expect(() => reliabilityCurve(bad)).toThrow("must lie in [0, 1], got 1.2 at 0");
    expect(() => reliabilityCurve(predictions, 0)).toThrow(ShapeError);
  });
});

describe("topPredictions", () => {
  it("counts a tie, and a picture of no class, as wrong", () => {
    const rows = [0.5, 0.5, 0, 0.2, 0.7, 0.1, 0.2, 0.7, 0.1];
    const { confidences, correct } = topPredictions(rows, [0, 1, -1], 3);
    expect([...confidences]).toEqual([0.5, 0.7, 0.7]);
    expect([...correct]).toEqual([0, 1, 0]);
  });
});

describe("negativeLogLikelihood", () => {
  it("is the mean of −ln p", () => {
    expect(negativeLogLikelihood([0.25, 0.75, 0.5, 0.5], [0, 1], 2)).toBeCloseTo((Math.log(4) + Math.log(2)) / 2, 12);
    expect(negativeLogLikelihood([0, 1], [0], 2)).toBeCloseTo(52 * Math.log(2), 9);
    expect(() => negativeLogLikelihood([0, 1], [-1], 2)).toThrow(ShapeError);
  });
});
