import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import type { CoSwinConfig } from "../../models/image-encoder/coswin.ts";
import { TwoTower, type TwoTowerConfig } from "../../models/two-tower.ts";
import { drawDropPath } from "../../nn/drop-path.ts";
import { initialWeights, type Weights } from "../../nn/module.ts";
import { ClassifierHead, type HeadInput, headLogits } from "./classifier-head.ts";
import { type ClassLoss, type HeadBatch, HeadProgram, headPrefix } from "./head-program.ts";

const [batch, classes, size] = [3, 4, 8];
const architecture: TwoTowerConfig = {
  image: {
    kind: "vit",
    imageSize: size,
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

async function setup(input: HeadInput, loss: ClassLoss, isLearnt = (name: string) => !name.startsWith("text")) {
  const model = new TwoTower(architecture);
  const inputs = input.kind === "pooled" ? 8 : 6;
  const head = new ClassifierHead(inputs, classes);
  const weights: Weights = initialWeights(model, 3);
  for (const [name, data] of initialWeights(head, 4)) {
    weights.set(
      headPrefix + name,
      data.map((value) => 20 * value + 0.1),
    ); // large enough to see in float32
  }
  const program = await HeadProgram.create({
    model,
    head,
    input,
    loss,
    imageSize: size,
    batch,
    classes,
    inputs,
    isLearnt,
    frozen: weights,
    dropPath: false,
    dropout: true,
    recompute: false,
  });
  const rng = new Rng(5);
  const targets = Float32Array.from({ length: batch * classes }, () => rng.uniform());
  if (loss === "softmax") {
    for (let i = 0; i < batch; i++) {
      const row = targets.subarray(i * classes, (i + 1) * classes);
      const total = row.reduce((a, b) => a + b, 0);
      for (let k = 0; k < classes; k++) row[k] /= total;
    }
  }
  const data: HeadBatch = {
    pixels: Uint8Array.from({ length: batch * size * size * 3 }, () => rng.int(256)),
    targets,
    rowWeights: Float32Array.of(0.7, 0.3, 0), // the last row is filling
    dropout: Float32Array.from({ length: batch * inputs }, (_, i) => (i % 3 === 0 ? 0 : 1.5)),
  };
  const learnt = new Map([...program.learnt.keys()].map((name) => [name, weights.get(name) as Float32Array]));
  return { program, data, learnt, weights };
}

describe("HeadProgram", () => {
  it.each([
    [{ kind: "pooled" }, "softmax"],
    [{ kind: "embedding", scale: 5 }, "softmax"],
    [{ kind: "embedding", scale: 5 }, "sigmoid"],
  ] as const)("gradients on %j with a %s agree with finite differences", async (input, loss) => {
    const { program, data, learnt } = await setup(input, loss);
    const { gradients } = await program.run(learnt, data);
    expect([...gradients.keys()].some((name) => name.startsWith("imageEncoder.blocks"))).toBe(true);
    expect(gradients.has("imageProjection.weight")).toBe(input.kind === "embedding");
    const rng = new Rng(6);
    for (const [name, gradient] of gradients) {
      // Along a random direction, which sums over all elements and so stands out from float32's noise.
      const direction = gradient.map(() => rng.normal());
      const norm = Math.hypot(...direction);
      const along = direction.reduce((total, value, i) => total + (value / norm) * gradient[i], 0);
      const lossAt = async (step: number) => {
        const values = learnt.get(name) as Float32Array;
        const moved = values.map((value, i) => value + (step * direction[i]) / norm);
        return (await program.run(new Map([...learnt, [name, moved]]), data)).loss;
      };
      const step = 0.01;
      const slope = (await lossAt(step)) - (await lossAt(-step));
      expect(Math.abs(slope / (2 * step) - along), name).toBeLessThan(2e-3 + 0.02 * Math.abs(along));
    }
    await program.dispose();
  });

  it("adds up to the same from three parts side by side, with branches dropped by picture", async () => {
    const image = {
      ...{ kind: "coswin", imageSize: size, width: 8, depths: [1, 1], headWidth: 4, window: 2, mlpRatio: 2 },
      ...{ activation: "gelu", embedding: "convolution", stemKernel: 3, stemStride: 2, dropPath: 0.5 },
      ...{ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
    } as const satisfies CoSwinConfig;
    const model = new TwoTower({ ...architecture, image });
    const inputs = model.imageEncoder.features;
    const head = new ClassifierHead(inputs, classes);
    const weights: Weights = initialWeights(model, 3);
    for (const [name, data] of initialWeights(head, 4)) weights.set(headPrefix + name, data);
    const isLearnt = (name: string) => !name.startsWith("text") && !name.startsWith("logit");
    const shape = {
      ...{ model, head, input: { kind: "pooled" } as const, loss: "softmax" as const, imageSize: size, batch, classes },
      ...{ inputs, isLearnt, frozen: weights, dropPath: true, dropout: false, recompute: false },
    };
    const rng = new Rng(8);
    const data: HeadBatch = {
      pixels: Uint8Array.from({ length: batch * size * size * 3 }, () => rng.int(256)),
      targets: Float32Array.from({ length: batch * classes }, (_, i) => (i % (classes + 1) === 0 ? 1 : 0)),
      rowWeights: new Float32Array(batch).fill(1 / batch),
      dropPath: drawDropPath(model.imageEncoder.dropRates, batch, rng),
    };
    expect(new Set(data.dropPath).size).toBeGreaterThan(1);
    const whole = await HeadProgram.create(shape);
    const parts = await HeadProgram.create(shape, { shards: batch, threads: 1 });
    const learnt = new Map([...whole.learnt.keys()].map((name) => [name, weights.get(name) as Float32Array]));
    const [expected, found] = [await whole.run(learnt, data), await parts.run(learnt, data)];
    expect(found.loss).toBeCloseTo(expected.loss, 5);
    for (const [name, gradient] of found.gradients) {
      const reference = expected.gradients.get(name) as Float32Array;
      const worst = Math.max(...gradient.map((value, i) => Math.abs(value - reference[i])));
      expect(worst, name).toBeLessThan(1e-5 + 1e-3 * Math.max(...reference.map(Math.abs)));
    }
    await whole.dispose();
    await parts.dispose();
  });

  it("gives the loss worked out by hand, filling left out", async () => {
    const { program, data, learnt } = await setup({ kind: "pooled" }, "softmax");
    const silent = { ...data, dropout: (data.dropout as Float32Array).map(() => 0) }; // logits are the biases
    const { loss } = await program.run(learnt, silent);
    const bias = learnt.get("head.bias") as Float32Array;
    const logits = headLogits(new Float32Array(8), new Float32Array(8 * classes), bias, { kind: "pooled" });
    const logSum = Math.log(logits.reduce((total, value) => total + Math.exp(value), 0));
    const rows = [0, 1, 2].map((i) =>
      [0, 1, 2, 3].reduce((total, k) => total - data.targets[i * classes + k] * (logits[k] - logSum), 0),
    );
    expect(loss).toBeCloseTo(0.7 * rows[0] + 0.3 * rows[1], 5);
    await program.dispose();
  });

  it("learns nothing but the head when told so", async () => {
    const { program, learnt } = await setup({ kind: "pooled" }, "softmax", (name) => name.startsWith(headPrefix));
    expect([...learnt.keys()]).toEqual(["head.weight", "head.bias"]);
    await program.dispose();
  });
});
