import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { topKAccuracy } from "../../src/metrics/accuracy.ts";
import { fitLogisticRegression } from "../../src/tasks/logistic-regression.ts";
import { scoreRows } from "../../src/tasks/score-rows.ts";
import { relativeError } from "./read-fixture.ts";

interface Expected {
  lambda: number;
  labels: number[];
  weights: number[];
  bias: number[];
  loss: number;
  accuracy: number;
}

const fixture = JSON.parse(readFileSync(new URL("../fixtures/sklearn-logistic.json", import.meta.url), "utf8")) as {
  rows: number;
  dim: number;
  tolerance: number;
  noise: number[];
  results: Record<string, Expected>;
};

describe("logistic regression equals scikit-learn's", () => {
  it.each(Object.keys(fixture.results))("%s", async (name) => {
    const { dim, tolerance, noise, results } = fixture;
    const { lambda, labels, ...expected } = results[name];
    const classes = Math.max(...labels) + 1;
    const features = Float32Array.from(noise, (value, i) => {
      const [row, column] = [Math.floor(i / dim), i % dim];
      return value / 1024 + ((column + labels[row]) % classes === 0 ? 0.25 : 0);
    });
    const options = { lambda, tolerance, maxIterations: 5000, threads: 1 };
    const fit = await fitLogisticRegression({ features, dim }, { kind: "one", labels, classes }, options);
    expect(fit.stopped).toBe("converged");
    expect(Math.abs(fit.loss / expected.loss - 1)).toBeLessThan(1e-6);
    const { weights, bias } = fit.classifier;
    // scikit-learn keeps one row for two classes: the second's score against the first's.
    const isPair = classes === 2;
    const ours = isPair ? weights.slice(dim).map((weight, d) => weight - weights[d]) : weights;
    expect(relativeError(ours, expected.weights)).toBeLessThan(2e-3); // the flattest direction at this tolerance
    expect(relativeError(isPair ? [bias[1] - bias[0]] : bias, expected.bias)).toBeLessThan(2e-3);
    const scores = await scoreRows({ features, dim }, fit.classifier, { threads: 1 });
    expect(topKAccuracy(scores, labels, classes)).toBe(expected.accuracy);
  });
});
