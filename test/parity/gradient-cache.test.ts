import { describe, expect, it } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { TwoTower } from "../../src/models/two-tower.ts";
import { initialWeights, namedParameters } from "../../src/nn/module.ts";
import {
  type ContrastiveBatch,
  ContrastiveObjective,
  type ContrastiveOptions,
} from "../../src/tasks/pretrain/contrastive-objective.ts";
import { randomData } from "../support/evaluate.ts";
import { relativeError } from "./read-fixture.ts";

const [batch, chunk, imageSize, embedding, tokens, textWidth] = [12, 4, 16, 8, 6, 16];

interface Variant {
  dropPath: number;
  recompute: boolean;
  text: "tokens" | "features";
  extraTexts?: number;
}

function modelWith(dropPath: number): TwoTower {
  return new TwoTower({
    image: {
      kind: "coswin",
      imageSize,
      width: 16,
      depths: [1, 1],
      headWidth: 8,
      window: 4,
      mlpRatio: 2,
      activation: "gelu",
      embedding: "convolution",
      stemKernel: 7,
      stemStride: 4,
      dropPath,
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    },
    text: {
      kind: "sentence-encoder",
      vocabulary: 20,
      contextLength: tokens,
      width: textWidth,
      heads: 2,
      layers: 1,
      hidden: 32,
    },
    embedding,
  });
}

/** Labels repeat within chunks and across them; texts are of unequal length. */
function batchOf({ text, extraTexts = 0 }: Variant): ContrastiveBatch {
  const rng = new Rng("batch");
  const textCount = batch + extraTexts;
  const lengths = Array.from({ length: textCount }, () => 2 + rng.int(tokens - 1));
  const ids = Int32Array.from({ length: textCount * tokens }, (_, i) =>
    i % tokens < lengths[Math.floor(i / tokens)] ? rng.int(20) : 0,
  );
  const mask = Float32Array.from(ids, (_, i) => (i % tokens < lengths[Math.floor(i / tokens)] ? 1 : 0));
  return {
    pixels: Uint8Array.from({ length: batch * imageSize * imageSize * 3 }, () => rng.int(256)),
    texts:
      text === "features"
        ? { "text.features": { data: randomData([textCount, textWidth], "features"), width: textWidth } }
        : { "text.ids": { data: ids, width: tokens }, "text.mask": { data: mask, width: tokens } },
    labels: BigInt64Array.from([1, 2, 1, 3, 1, 4, 5, 5, 6, 2, 7, -8, 9, 1, 10, 11, 5, 12].slice(0, textCount), BigInt),
    further: Float32Array.from({ length: batch * (textCount - batch) }, (_, i) => Number(i % 3 > 0)),
  };
}

async function stepOf(variant: Variant, chunkSize?: number) {
  const { dropPath, recompute, text, extraTexts = 0 } = variant;
  const model = modelWith(dropPath);
  const all = namedParameters(model);
  const learnt = new Map([...all].filter(([name]) => text === "tokens" || !name.startsWith("textEncoder.")));
  const values = initialWeights(model, "gradient cache");
  const options: ContrastiveOptions = {
    shape: {
      model,
      parameters: learnt,
      allParameters: all,
      imageSize,
      embedding,
      text: text === "tokens" ? { kind: "tokens", length: tokens } : { kind: "features", width: textWidth },
      dropPath: dropPath > 0,
      recompute,
      threads: 1,
    },
    weights: new Map([...learnt].map(([name, { shape }]) => [name, { shape, data: values.get(name) as Float32Array }])),
    batch,
    texts: batch + extraTexts,
    ...(chunkSize ? { chunk: chunkSize } : {}),
    seed: 7,
    maxLogitScale: 100,
    batchAt: () => batchOf(variant),
  };
  const objective = await ContrastiveObjective.create(options);
  try {
    return await objective.step(3);
  } finally {
    await objective.dispose();
  }
}

type Step = Awaited<ReturnType<typeof stepOf>>;

function expectSameStep(actual: Step, expected: Step): void {
  expect(relativeError([actual.loss], [expected.loss])).toBeLessThan(1e-6);
  expect([...actual.gradients.keys()].sort()).toEqual([...expected.gradients.keys()].sort());
  for (const [name, gradient] of expected.gradients) {
    expect(
      gradient.some((value) => value !== 0),
      `${name} has a gradient`,
    ).toBe(true);
    expect(relativeError(actual.gradients.get(name) as Float32Array, gradient), name).toBeLessThan(1e-5);
  }
}

const variants: Variant[] = [
  { dropPath: 0, recompute: false, text: "tokens" },
  { dropPath: 0, recompute: false, text: "features" },
  { dropPath: 0.4, recompute: false, text: "tokens" },
  { dropPath: 0, recompute: true, text: "tokens" },
  { dropPath: 0.4, recompute: true, text: "features" },
  { dropPath: 0, recompute: false, text: "tokens", extraTexts: 6 },
  { dropPath: 0, recompute: false, text: "features", extraTexts: 6 },
];

describe("a gradient cache", () => {
  it.each(variants)(
    "gives the full batch's gradients: drop path $dropPath, recompute $recompute, text as $text, $extraTexts further texts",
    async (variant) => {
      expectSameStep(await stepOf(variant, chunk), await stepOf(variant));
    },
  );
});

describe("activation checkpointing", () => {
  it.each([0, 0.4])("gives the plain graph's gradients with a drop path of %d", async (dropPath) => {
    const plain = await stepOf({ dropPath, recompute: false, text: "features" });
    const recomputed = await stepOf({ dropPath, recompute: true, text: "features" });
    expectSameStep(recomputed, plain);
  });

  it("has a drop path to agree on", async () => {
    const without = await stepOf({ dropPath: 0, recompute: false, text: "features" });
    const dropped = await stepOf({ dropPath: 0.4, recompute: false, text: "features" });
    const name = "imageEncoder.stages.1.blocks.0.mlp.fc2.weight";
    const [a, b] = [dropped, without].map(({ gradients }) => gradients.get(name) as Float32Array);
    expect(relativeError(a, b)).toBeGreaterThan(0.1);
  });
});
