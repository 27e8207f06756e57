import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { topKAccuracy } from "../../src/metrics/accuracy.ts";
import { lambdaAt } from "../../src/tasks/linear-probe/lambda-sweep.ts";
import { fitLinearProbe } from "../../src/tasks/linear-probe/linear-probe.ts";
import { pickFeatures } from "../../src/tasks/linear-probe/subsets.ts";
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
  /** A search for λ: places on the grid and their accuracy on the rows that were not fitted. */
  sweep: { labels: number[]; fitted: number; best: number; tried: [place: number, accuracy: number][] };
};

/** The noise, plus a formula of the labels. [rows, dim] */
function featuresOf(labels: readonly number[]): Float32Array {
  const { dim, noise } = fixture;
  const classes = Math.max(...labels) + 1;
  return Float32Array.from(noise, (value, i) => {
    const [row, column] = [Math.floor(i / dim), i % dim];
    return value / 1024 + ((column + labels[row]) % classes === 0 ? 0.25 : 0);
  });
}

describe("logistic regression equals scikit-learn's", () => {
  it.each(Object.keys(fixture.results))("%s", async (name) => {
    const { dim, tolerance, results } = fixture;
    const { lambda, labels, ...expected } = results[name];
    const classes = Math.max(...labels) + 1;
    const features = featuresOf(labels);
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

  it("chooses the same λ by the same scores, where both minimise to the end", async () => {
    const { dim, rows, tolerance, sweep } = fixture;
    const { labels, fitted, best, tried } = sweep;
    const features = featuresOf(labels);
    const part = (from: number, to: number) => {
      const picked = Array.from({ length: to - from }, (_, i) => from + i);
      const targets = { kind: "one", labels: labels.slice(from, to), classes: Math.max(...labels) + 1 } as const;
      return { features: pickFeatures(features, dim, picked), dim, targets };
    };
    const options = { tolerance, maxIterations: 5000, threads: 1 };
    const probe = await fitLinearProbe(part(0, fitted), part(fitted, rows), options);
    const scores = probe.sweep?.tried.map(({ lambda, score }) => [Math.round(8 * (Math.log10(lambda) + 6)), score]);
    expect(scores).toEqual(tried);
    expect(probe.fit.lambda).toBe(lambdaAt(best));
  });
});
