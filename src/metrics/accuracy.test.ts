import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { confusionMatrix, meanPerClassAccuracy, ranksOfLabels, topKAccuracy } from "./accuracy.ts";

// Four pictures, three classes; the third row ties its own class with another, the fourth is wrong.
const scores = Float32Array.of(0.9, 0.1, 0, 0.2, 0.5, 0.3, 0.4, 0.2, 0.4, 0.1, 0.2, 0.7);
const labels = [0, 1, 2, 1];

describe("accuracy by hand", () => {
  it("ranks the true class, ties counted against it", () => {
    expect(Array.from(ranksOfLabels(scores, labels, 3))).toEqual([0, 0, 1, 1]);
    expect(topKAccuracy(scores, labels, 3)).toBe(0.5);
    expect(topKAccuracy(scores, labels, 3, 2)).toBe(1);
  });

  it("averages over the classes that have examples", () => {
    expect(meanPerClassAccuracy(scores, labels, 3)).toBeCloseTo((1 + 1 / 2 + 0) / 3, 12);
    expect(meanPerClassAccuracy(Float32Array.of(1, 0, 0, 1, 0, 0), [0, 0], 3)).toBe(1);
  });

  it("counts confusions by true class and prediction", () => {
    expect(Array.from(confusionMatrix(scores, labels, 3))).toEqual([1, 0, 0, 0, 1, 1, 1, 0, 0]);
  });
});

describe("a model without opinion", () => {
  it.each([
    ["constant", 0.5],
    ["NaN", Number.NaN],
  ])("scores 0 with %s scores", (_name, value) => {
    const flat = new Float32Array(10 * 5).fill(value);
    const all = Array.from({ length: 10 }, (_, i) => i % 5);
    expect(topKAccuracy(flat, all, 5)).toBe(0);
    expect(topKAccuracy(flat, all, 5, 4)).toBe(0);
    expect(topKAccuracy(flat, all, 5, 5)).toBe(1); // there are only five
    expect(meanPerClassAccuracy(flat, all, 5)).toBe(0);
    const matrix = confusionMatrix(flat, all, 5);
    for (let c = 0; c < 5; c++) expect(matrix[c * 5 + c]).toBe(0);
  });
});

describe("against the definitions", () => {
  it("agrees with sorting, and the confusion matrix with the accuracy", () => {
    const examples = fc.integer({ min: 2, max: 6 }).chain((classes) =>
      fc.array(
        fc.tuple(
          fc.array(fc.integer({ min: 0, max: 5 }), { minLength: classes, maxLength: classes }),
          fc.nat(classes - 1),
        ),
        {
          minLength: 1,
          maxLength: 12,
        },
      ),
    );
    fc.assert(
      fc.property(examples, (rows) => {
        const classes = rows[0][0].length;
        const matrixScores = Float32Array.from(rows.flatMap(([row]) => row));
        const truth = rows.map(([, label]) => label);
        const naive = rows.map(([row, label]) => row.toSorted((a, b) => b - a).lastIndexOf(row[label]));
        expect(Array.from(ranksOfLabels(matrixScores, truth, classes))).toEqual(naive);
        const matrix = confusionMatrix(matrixScores, truth, classes);
        const diagonal = truth.length * topKAccuracy(matrixScores, truth, classes);
        expect(Array.from({ length: classes }, (_, c) => matrix[c * classes + c]).reduce((a, b) => a + b)).toBeCloseTo(
          diagonal,
          9,
        );
        expect(matrix.reduce((a, b) => a + b)).toBe(truth.length);
      }),
    );
  });

  it("names a label or a matrix that does not fit", () => {
    expect(() => topKAccuracy(scores, [0, 1, 3, 0], 3)).toThrow("integers in [0, 3), got 3 at 2");
    expect(() => topKAccuracy(scores, [0, 1], 3)).toThrow(ShapeError);
    expect(() => topKAccuracy(new Float32Array(), [], 3)).toThrow(ShapeError);
  });
});
