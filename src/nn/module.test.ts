import { describe, expect, it } from "vitest";
import { input, Parameter } from "../graph/tensor.ts";
import { LayerNorm } from "./layer-norm.ts";
import { Linear } from "./linear.ts";
import { countParameters, initialWeights, namedParameters, requireWeights } from "./module.ts";
import { TransformerBlock } from "./transformer-block.ts";

class SmallModel {
  readonly scale = new Parameter([], (data) => void data.fill(2));
  readonly blocks = [new Linear({ inputs: 3, outputs: 2 }), new Linear({ inputs: 2, outputs: 4, bias: false })];
  readonly norm = new LayerNorm(4);
  readonly name = "small";
  readonly rates = new Float32Array(3);
  readonly seen = input("x", [2]); // a tensor, but no parameter
  readonly #hidden = new Linear({ inputs: 9, outputs: 9 });

  get hidden(): Linear {
    return this.#hidden;
  }
}

const shapes: Record<string, number[]> = {
  scale: [],
  "blocks.0.weight": [2, 3],
  "blocks.0.bias": [2],
  "blocks.1.weight": [4, 2],
  "norm.weight": [4],
  "norm.bias": [4],
};

describe("namedParameters", () => {
  it("finds public parameters by path, in the order of declaration", () => {
    const found = namedParameters(new SmallModel());
    expect([...found].map(([name, { shape }]) => [name, shape])).toEqual(Object.entries(shapes));
  });

  it("puts a prefix before each path", () => {
    expect([...namedParameters(new LayerNorm(2), "encoder.norm").keys()]).toEqual([
      "encoder.norm.weight",
      "encoder.norm.bias",
    ]);
  });

  it("names a transformer block as checkpoints do", () => {
    const block = new TransformerBlock({ width: 4, heads: 2, hidden: 16, activation: "gelu" });
    const layers = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"];
    expect([...namedParameters(block).keys()]).toEqual(layers.flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]));
  });
});

it("countParameters adds up their sizes", () => {
  expect(countParameters(new SmallModel())).toBe(1 + 6 + 2 + 8 + 4 + 4);
});

describe("initialWeights", () => {
  it("is the same for the same seed, and another for another", () => {
    const [first, again, other] = [1, 1, 2].map((seed) => initialWeights(new SmallModel(), seed));
    expect(again).toEqual(first);
    expect(other.get("blocks.0.weight")).not.toEqual(first.get("blocks.0.weight"));
  });

  it("fills as each parameter says, each from a stream of its own", () => {
    const weights = initialWeights(new SmallModel(), 1);
    expect([...(weights.get("scale") as Float32Array)]).toEqual([2]);
    expect([...(weights.get("norm.weight") as Float32Array)]).toEqual([1, 1, 1, 1]);
    expect([...(weights.get("blocks.0.bias") as Float32Array)]).toEqual([0, 0]);
    // Adding a layer ahead moves no other layer's start.
    const more = { extra: new Linear({ inputs: 5, outputs: 5 }), ...new SmallModel() };
    expect(initialWeights(more, 1).get("blocks.1.weight")).toEqual(weights.get("blocks.1.weight"));
  });

  it("draws linear weights from a normal of 0.02 cut at two deviations", () => {
    const weight = initialWeights(new Linear({ inputs: 200, outputs: 100 }), 5).get("weight") as Float32Array;
    const mean = weight.reduce((sum, value) => sum + value, 0) / weight.length;
    const deviation = Math.sqrt(weight.reduce((sum, value) => sum + (value - mean) ** 2, 0) / weight.length);
    expect(Math.abs(mean)).toBeLessThan(4e-4);
    expect(Math.abs(deviation / 0.02 - 0.8796)).toBeLessThan(0.015); // a normal cut at ±2, four standard errors
    expect(Math.max(...weight.map(Math.abs))).toBeLessThanOrEqual(0.04);
  });
});

describe("requireWeights", () => {
  const model = new SmallModel();

  it("takes exactly the model's parameters", () => {
    expect(() => requireWeights(model, initialWeights(model, 1))).not.toThrow();
  });

  it("names what is missing, too much or of another size", () => {
    const changed = (change: (weights: Map<string, Float32Array>) => void) => () => {
      const weights = initialWeights(model, 1);
      change(weights);
      requireWeights(model, weights);
    };
    expect(changed((weights) => weights.delete("blocks.0.weight"))).toThrow(
      "Weights: blocks.0.weight [2, 3] is missing",
    );
    expect(changed((weights) => weights.set("head.weight", new Float32Array(1)))).toThrow("no parameter head.weight");
    expect(changed((weights) => weights.set("norm.bias", new Float32Array(3)))).toThrow(
      "Weights: norm.bias must hold [4], got 3 values",
    );
  });
});
