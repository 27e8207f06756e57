import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { LogisticObjective, type Targets } from "./logistic-objective.ts";
import { fitLogisticRegression } from "./logistic-regression.ts";
import { scoreRows } from "./score-rows.ts";

const dim = 7;

function examples(count: number, classes: number) {
  const rng = new Rng(count);
  return {
    features: Float32Array.from({ length: count * dim }, () => rng.normal()),
    one: { kind: "one", classes, labels: Int32Array.from({ length: count }, () => rng.int(classes)) },
    several: { kind: "several", classes, truth: Uint8Array.from({ length: count * classes }, () => rng.int(2)) },
  } as const;
}

/** The objective written out in float64. */
function naive(features: Float32Array, targets: Targets, columns: number, parameters: Float64Array, lambda: number) {
  const count = features.length / dim;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const logits = Array.from({ length: columns }, (_, k) => {
      let logit = parameters[dim * columns + k];
      for (let d = 0; d < dim; d++) logit += features[i * dim + d] * parameters[d * columns + k];
      return logit;
    });
    if (targets.kind === "one" && columns > 1) {
      total += Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[targets.labels[i]];
    } else {
      for (const [k, logit] of logits.entries()) {
        const positive = targets.kind === "one" ? targets.labels[i] : targets.truth[i * columns + k];
        total += Math.log1p(Math.exp(positive ? -logit : logit));
      }
    }
  }
  const weights = parameters.subarray(0, dim * columns);
  return (total + (lambda / 2) * weights.reduce((sum, weight) => sum + weight * weight, 0)) / count;
}

describe("LogisticObjective", () => {
  it.each([
    { name: "several chunks, the last one short", count: 9001, classes: 3, kind: "one" as const },
    { name: "two classes", count: 50, classes: 2, kind: "one" as const },
    { name: "more classes than a padded column", count: 60, classes: 18, kind: "one" as const },
    { name: "several labels", count: 40, classes: 5, kind: "several" as const },
  ])("has the value and the slopes of its definition: $name", async ({ count, classes, kind }) => {
    const { features, ...both } = examples(count, classes);
    const targets = both[kind];
    const objective = await LogisticObjective.create({ features, dim }, targets, { threads: 1 });
    const rng = new Rng(5);
    const parameters = Float64Array.from({ length: objective.parameterCount }, () => 0.5 * rng.normal());
    const at = (p: Float64Array) => naive(features, targets, objective.columns, p, 20);
    const { value, gradient } = await objective.evaluate(parameters, 20);
    await objective.dispose();
    expect(value).toBeCloseTo(at(parameters), 6);
    for (const i of [0, 1, dim, parameters.length - objective.columns - 1, parameters.length - 1]) {
      const [up, down] = [1e-5, -1e-5].map((h) => at(parameters.with(i, parameters[i] + h)));
      expect(Math.abs(gradient[i] - (up - down) / 2e-5)).toBeLessThan(2e-6);
    }
  });

  it("refuses targets that do not fit", async () => {
    const { features, one } = examples(10, 3);
    const create = (targets: Targets, rows = { features, dim }) => LogisticObjective.create(rows, targets);
    await expect(create({ ...one, labels: [0, 1] })).rejects.toThrow("needs 10 targets for 10 examples, got 2");
    await expect(create({ ...one, labels: Array(10).fill(3) })).rejects.toThrow("integers in [0, 3), got 3 at 0");
    await expect(create({ ...one, classes: 1 })).rejects.toThrow(ShapeError);
    await expect(create(one, { features, dim: 3 })).rejects.toThrow("must be [N, 3]");
  });
});

describe("fitLogisticRegression", () => {
  it("fits several labels as it fits each of them against the rest", async () => {
    const { features, several } = examples(200, 3);
    const options = { lambda: 5, tolerance: 1e-6, threads: 1 };
    const together = await fitLogisticRegression({ features, dim }, several, options);
    for (let k = 0; k < 3; k++) {
      const labels = Array.from({ length: 200 }, (_, i) => several.truth[i * 3 + k]);
      const alone = await fitLogisticRegression({ features, dim }, { kind: "one", classes: 2, labels }, options);
      for (let d = 0; d < dim; d++) {
        const { weights } = alone.classifier;
        expect(together.classifier.weights[k * dim + d]).toBeCloseTo(weights[dim + d] - weights[d], 3);
      }
    }
  });

  it("ends in the same place from a warm start, sooner", async () => {
    const { features, one } = examples(300, 4);
    const options = { lambda: 1, tolerance: 1e-6, threads: 1 };
    const first = await fitLogisticRegression({ features, dim }, one, { ...options, lambda: 2 });
    const cold = await fitLogisticRegression({ features, dim }, one, options);
    const warm = await fitLogisticRegression({ features, dim }, one, { ...options, start: first.parameters });
    expect(warm.iterations).toBeLessThan(cold.iterations);
    expect(warm.loss).toBeCloseTo(cold.loss, 7);
  });

  it("stops when asked to, in the middle", async () => {
    const { features, one } = examples(100, 3);
    const controller = new AbortController();
    let iterations = 0;
    const onProgress = () => {
      if (++iterations === 2) controller.abort(new Error("enough"));
    };
    const options = { lambda: 1e-6, tolerance: 1e-9, signal: controller.signal, onProgress };
    await expect(fitLogisticRegression({ features, dim }, one, options)).rejects.toThrow("enough");
    expect(iterations).toBe(2);
  });
});

describe("scoreRows", () => {
  it("is the product with every row of weights, over several runs with a rest", async () => {
    const { features } = examples(5000, 2);
    const weights = Float32Array.from({ length: 3 * dim }, (_, i) => Math.sin(i));
    const done: number[] = [];
    const options = { threads: 1, onProgress: (rows: number) => done.push(rows) };
    const scores = await scoreRows({ features, dim }, { weights, bias: Float32Array.of(0, 1, 2) }, options);
    expect(scores).toHaveLength(15_000);
    expect(done).toEqual([4096, 5000]);
    for (const i of [0, 4095, 4096, 4999]) {
      for (let k = 0; k < 3; k++) {
        let expected = k;
        for (let d = 0; d < dim; d++) expected += features[i * dim + d] * weights[k * dim + d];
        expect(scores[i * 3 + k]).toBeCloseTo(expected, 4);
      }
    }
    expect(await scoreRows({ features: new Float32Array(0), dim }, { weights })).toHaveLength(0);
    await expect(scoreRows({ features, dim: 3 }, { weights })).rejects.toThrow(ShapeError);
  });
});
