import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { confusionMatrix, meanPerClassAccuracy, perClassAccuracy, topKAccuracy } from "../../src/metrics/accuracy.ts";
import { elevenPointAveragePrecision, elevenPointMeanAveragePrecision } from "../../src/metrics/average-precision.ts";
import { expectedCalibrationError, negativeLogLikelihood, topPredictions } from "../../src/metrics/calibration.ts";
import { areaUnderRoc, rocCurve } from "../../src/metrics/roc.ts";

type Numbers = "labels" | "scores" | "probabilities" | "perClass" | "confusion" | "targets" | "targetScores";
type Curves = "elevenPoint" | "binary" | "binaryScores" | "falsePositiveRate" | "truePositiveRate" | "thresholds";
type Scores = "classes" | "top1" | "top3" | "meanPerClass" | "logLoss" | "calibrationError" | "areaUnderRoc";

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/sklearn-metrics.json", import.meta.url), "utf8"),
) as Record<Numbers | Curves, number[]> & Record<Scores | "tolerance", number>;
const { classes, labels } = fixture;
const scores = Float32Array.from(fixture.scores);

function expectEqual(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...expected.map((value, i) => Math.abs(value - actual[i])));
  expect(worst).toBeLessThan(fixture.tolerance);
}

describe("metrics equal scikit-learn's", () => {
  it("accuracy: top 1, top 3, per class and its mean, confusion matrix", () => {
    expectEqual([topKAccuracy(scores, labels, classes)], [fixture.top1]);
    expectEqual([topKAccuracy(scores, labels, classes, 3)], [fixture.top3]);
    expectEqual(
      perClassAccuracy(scores, labels, classes).map(({ accuracy }) => accuracy),
      fixture.perClass,
    );
    expectEqual([meanPerClassAccuracy(scores, labels, classes)], [fixture.meanPerClass]);
    expectEqual(confusionMatrix(scores, labels, classes), fixture.confusion);
  });

  it("calibration: log loss, expected calibration error", () => {
    const { probabilities } = fixture;
    expectEqual([negativeLogLikelihood(probabilities, labels, classes)], [fixture.logLoss]);
    const predictions = topPredictions(probabilities, labels, classes);
    expectEqual([expectedCalibrationError(predictions)], [fixture.calibrationError]);
  });

  it("average precision at 11 points", () => {
    const { targets, targetScores, elevenPoint } = fixture;
    const column = (matrix: readonly number[], c: number) => matrix.filter((_, i) => i % classes === c);
    expectEqual(
      elevenPoint.map((_, c) => elevenPointAveragePrecision(column(targetScores, c), column(targets, c))),
      elevenPoint,
    );
    const mean = elevenPoint.reduce((a, b) => a + b) / classes;
    expectEqual([elevenPointMeanAveragePrecision(targetScores, targets, classes)], [mean]);
  });

  it("ROC: every point, and the area, with ties", () => {
    const { binary, binaryScores } = fixture;
    expect(new Set(binaryScores).size).toBeLessThan(binaryScores.length / 3);
    const curve = rocCurve(binaryScores, binary);
    expectEqual(curve.falsePositiveRate, fixture.falsePositiveRate);
    expectEqual(curve.truePositiveRate, fixture.truePositiveRate);
    expectEqual(curve.thresholds.slice(1), fixture.thresholds);
    expectEqual([areaUnderRoc(binaryScores, binary)], [fixture.areaUnderRoc]);
  });
});
