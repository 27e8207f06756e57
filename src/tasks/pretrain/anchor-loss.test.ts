import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { TwoTower, type TwoTowerConfig } from "../../models/two-tower.ts";
import { initialWeights, namedParameters } from "../../nn/module.ts";
import { ContrastiveObjective } from "./contrastive-objective.ts";

const architecture: TwoTowerConfig = {
  image: {
    kind: "vit",
    imageSize: 8,
    patch: 4,
    width: 8,
    heads: 2,
    layers: 1,
    mlpRatio: 2,
    activation: "gelu",
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
  },
  text: { kind: "sentence-encoder", vocabulary: 4, contextLength: 4, width: 8, heads: 2, layers: 1, hidden: 8 },
  embedding: 6,
};
const [batch, embedding] = [4, 6];

/** One step of the contrastive objective with the image tower learnt and the texts given as features. */
async function stepWith(anchorWeight: number, chunk?: number) {
  const model = new TwoTower(architecture);
  const all = namedParameters(model);
  const values = initialWeights(model, 1);
  const learnt = new Map([...all].filter(([name]) => !name.startsWith("textEncoder.")));
  const rng = new Rng(2);
  const random = (length: number) => Float32Array.from({ length }, () => rng.normal());
  const pixels = Uint8Array.from({ length: batch * 192 }, () => rng.int(256));
  const [features, anchors] = [random(batch * 8), random(batch * embedding)];
  const objective = await ContrastiveObjective.create({
    shape: {
      model,
      parameters: learnt,
      allParameters: all,
      imageSize: 8,
      embedding,
      text: { kind: "features", width: 8 },
      dropPath: false,
      recompute: false,
      anchorWeight,
    },
    weights: new Map([...learnt].map(([name, { shape }]) => [name, { shape, data: values.get(name) as Float32Array }])),
    batch,
    seed: 0,
    maxLogitScale: 100,
    ...(chunk === undefined ? {} : { chunk }),
    batchAt: () => ({
      pixels,
      texts: { "text.features": { data: features, width: 8 } },
      labels: BigInt64Array.of(1n, 2n, 3n, 4n),
      sets: new BigInt64Array(batch),
      ...(anchorWeight > 0 ? { anchors } : {}),
    }),
  });
  const result = await objective.step(0);
  await objective.dispose();
  return result;
}

describe("anchored contrastive training", () => {
  it("adds a term in proportion to its weight, whose gradient moves the image tower alone", async () => {
    const [none, one, three] = [await stepWith(0), await stepWith(1), await stepWith(3)];
    const term = one.loss - none.loss;
    expect(term).toBeGreaterThan(1); // the anchors are far away
    expect(three.loss - none.loss).toBeCloseTo(3 * term, 3);
    for (const [name, gradient] of none.gradients) {
      const pull = one.gradients.get(name)?.map((value, i) => value - gradient[i]) as Float32Array;
      const triple = three.gradients.get(name)?.map((value, i) => value - gradient[i]) as Float32Array;
      if (name.startsWith("image")) expect(Math.hypot(...pull), name).toBeGreaterThan(1e-4);
      else expect(Math.hypot(...pull), name).toBeLessThan(1e-6);
      for (const [i, value] of pull.entries()) expect(triple[i]).toBeCloseTo(3 * value, 3);
    }
  });

  it("is the same through a gradient cache", async () => {
    const [whole, cached] = [await stepWith(2), await stepWith(2, 2)];
    expect(cached.loss).toBeCloseTo(whole.loss, 4);
    for (const [name, gradient] of whole.gradients) {
      for (const [i, value] of gradient.entries()) expect(cached.gradients.get(name)?.[i]).toBeCloseTo(value, 4);
    }
  });
});
