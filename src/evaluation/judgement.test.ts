import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { confusionMatrix, ranksOfLabels } from "../metrics/accuracy.ts";
import { classLogits } from "./class-logits.ts";
import { judge } from "./judgement.ts";

const rng = new Rng("judgement");
const numbers = (length: number) => Float32Array.from({ length }, () => rng.normal());

describe("classLogits and judge", () => {
  it("equal a naive product, over several blocks and a short last one", async () => {
    const [count, dim, classes] = [2500, 8, 3000]; // 1,333 rows a block
    const [rows, weight, bias] = [numbers(count * dim), numbers(classes * dim), numbers(classes)];
    let seen = 0;
    let worst = 0;
    for await (const { start, logits } of classLogits(rows, dim, { weight, bias })) {
      expect(start).toBe(seen);
      seen += logits.length / classes;
      for (const [row, label] of [
        [0, 0],
        [logits.length / classes - 1, 2999],
        [7, 1234],
      ]) {
        let expected = bias[label];
        for (let i = 0; i < dim; i++) expected += rows[(start + row) * dim + i] * weight[label * dim + i];
        worst = Math.max(worst, Math.abs(logits[row * classes + label] - expected));
      }
    }
    expect(seen).toBe(count);
    expect(worst).toBeLessThan(1e-4);
  });

  it("gives ranks, predictions and probabilities as computed from all logits at once", async () => {
    const [count, dim, classes] = [200, 4, 6];
    const [rows, weight] = [numbers(count * dim), numbers(classes * dim)];
    const labels = Int32Array.from({ length: count }, () => rng.int(classes));
    const all = new Float32Array(count * classes);
    for await (const { start, logits } of classLogits(rows, dim, { weight })) all.set(logits, start * classes);
    const judged = await judge(classLogits(rows, dim, { weight }), labels, classes);
    expect(judged.ranks).toEqual(ranksOfLabels(all, labels, classes));
    const counts = new Uint32Array(classes * classes);
    for (let i = 0; i < count; i++) counts[labels[i] * classes + judged.predicted[i]]++;
    expect(counts).toEqual(confusionMatrix(all, labels, classes));
    for (let i = 0; i < count; i++) {
      const exponentials = Array.from(all.subarray(i * classes, (i + 1) * classes), Math.exp);
      const sum = exponentials.reduce((a, b) => a + b, 0);
      expect(judged.truthProbability[i]).toBeCloseTo(exponentials[labels[i]] / sum, 5);
      expect(judged.confidence[i]).toBeCloseTo(Math.max(...exponentials) / sum, 5);
    }
  });

  it("counts a constant model as always wrong", async () => {
    const judged = await judge(classLogits(numbers(12), 4, { weight: new Float32Array(8) }), Int32Array.of(0, 1, 0), 2);
    expect([...judged.ranks]).toEqual([1, 1, 1]);
    expect([...judged.predicted]).toEqual([1, 0, 1]);
  });

  it("takes the sigmoid of each logit for models that score so", async () => {
    const rows = Float32Array.of(1, 0);
    const weight = Float32Array.of(2, 0, -1, 0);
    const judged = await judge(classLogits(rows, 2, { weight }), Int32Array.of(1), 2, { kind: "sigmoid", bias: -1 });
    expect(judged.confidence[0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 6);
    expect(judged.truthProbability[0]).toBeCloseTo(1 / (1 + Math.exp(2)), 6);
  });
});
