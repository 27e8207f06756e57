import { describe, expect, it } from "vitest";
import { classAgnostic, Detector, detectorPresets } from "../../models/detection/detector.ts";
import { coSwinPresets } from "../../models/image-encoder/coswin-presets.ts";
import { initialWeights } from "../../nn/module.ts";
import { withClasses } from "./detector-start.ts";

const config = { ...detectorPresets.nano, image: { ...coSwinPresets.nano, width: 32, depths: [1, 1], imageSize: 64 } };
const agnostic = new Detector({ ...config, strides: [8, 16], classes: classAgnostic });
const start = { detector: agnostic, weights: initialWeights(agnostic, 1) };
const [weightName, biasName] = ["head.classifier.weight", "head.classifier.bias"];

describe("withClasses", () => {
  it("starts each class of a class-agnostic detector as an object, as often as objects are of it", () => {
    const shares = [0.5, 0.3, 0.2];
    const { detector, weights } = withClasses(start, { kind: "fixed", count: 3 }, 2, shares);
    expect(detector.config.classes).toEqual({ kind: "fixed", count: 3 });
    const bias = weights.get(biasName) as Float32Array;
    const [before] = start.weights.get(biasName) as Float32Array;
    for (const [k, share] of shares.entries()) expect(bias[k]).toBeCloseTo(before + Math.log(share), 5);
    const [map, own] = [weights.get(weightName), start.weights.get(weightName)] as [Float32Array, Float32Array];
    expect(map).toHaveLength(3 * own.length);
    for (const [i, value] of map.entries()) expect(Math.abs(value - own[i % own.length])).toBeLessThan(0.06);
    const rows = [0, 1, 2].map((k) => map.slice(k * own.length, (k + 1) * own.length).join());
    expect(new Set(rows).size).toBe(3);
    expect(weights.get("head.box.weight")).toEqual(start.weights.get("head.box.weight"));
  });

  it("takes equal shares where none are given, and keeps the map of as many classes", () => {
    const two = withClasses(start, { kind: "fixed", count: 2 }, 2);
    const [before] = start.weights.get(biasName) as Float32Array;
    for (const value of two.weights.get(biasName) as Float32Array) expect(value).toBeCloseTo(before - Math.log(2), 5);
    const same = withClasses(two, { kind: "fixed", count: 2 }, 3, [0.9, 0.1]);
    expect(same.weights).toEqual(two.weights);
  });

  it("begins at random from a detector of other classes", () => {
    const two = withClasses(start, { kind: "fixed", count: 2 }, 2);
    const three = withClasses(two, { kind: "fixed", count: 3 }, 5, [0.5, 0.3, 0.2]);
    const fresh = initialWeights(three.detector, 5);
    expect(three.weights.get(weightName)).toEqual(fresh.get(weightName));
    expect(three.weights.get(biasName)).toEqual(fresh.get(biasName));
  });
});
