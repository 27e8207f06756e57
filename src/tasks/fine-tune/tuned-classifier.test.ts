import { describe, expect, it } from "vitest";
import { ShapeError } from "../../core/errors.ts";
import { TunedClassifier } from "./tuned-classifier.ts";

const weights = new Map([
  ["weight", Float32Array.of(1, 0, 0, 1, -1, 0)],
  ["bias", Float32Array.of(0, 0.5, 0)],
]);
const classes = ["right", "up", "left"];

describe("TunedClassifier", () => {
  it("is a softmax over scaled scores, most probable first", () => {
    const input = { kind: "embedding", scale: 2 } as const;
    const found = new TunedClassifier({ classes, scoring: "softmax", input, weights }).classify(
      Float32Array.of(0.6, 0.8),
    );
    const logits = { right: 2 * 0.6, up: 2 * 0.8 + 0.5, left: -2 * 0.6 };
    const sum = Object.values(logits).reduce((total, logit) => total + Math.exp(logit), 0);
    expect(found.map(({ label }) => label)).toEqual(["up", "right", "left"]);
    for (const { label, probability } of found) {
      expect(probability).toBeCloseTo(Math.exp(logits[label as keyof typeof logits]) / sum, 6);
    }
  });

  it("scores each class by itself where a picture may have several", () => {
    const classifier = new TunedClassifier({ classes, scoring: "sigmoid", input: { kind: "pooled" }, weights });
    const found = classifier.classify(Float32Array.of(3, 4), 2);
    expect(found).toEqual([
      { label: "up", probability: expect.closeTo(1 / (1 + Math.exp(-4.5)), 6) },
      { label: "right", probability: expect.closeTo(1 / (1 + Math.exp(-3)), 6) },
    ]);
    expect(() => classifier.classify(new Float32Array(3))).toThrow(ShapeError);
  });
});
