import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import type { CoSwinConfig } from "../models/image-encoder/coswin.ts";
import type { ImageEncoderConfig } from "../models/image-encoder/image-encoder.ts";
import { textInputs } from "../models/text-encoder/text-batch.ts";
import type { TextEncoderConfig } from "../models/text-encoder/text-encoder.ts";
import { TwoTower } from "../models/two-tower.ts";
import { initialWeights, namedParameters } from "../nn/module.ts";
import { compile } from "../runtime/program.ts";
import { add, reshape } from "./broadcasting.ts";
import { type AxisSizes, type DynamicAxis, withDynamicAxes } from "./dynamic-axes.ts";
import { encodeOnnx } from "./onnx-encoding.ts";
import { concat, split } from "./shaping.ts";
import { constant, input, type Tensor } from "./tensor.ts";

const colors = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.25] } as const;
const swin: CoSwinConfig = {
  kind: "coswin",
  imageSize: 32,
  width: 16,
  depths: [2, 2],
  headWidth: 8,
  window: 4,
  mlpRatio: 2,
  activation: "gelu",
  embedding: "convolution",
  stemKernel: 7,
  stemStride: 4,
  dropPath: 0,
  ...colors,
};
const images: Record<string, ImageEncoderConfig> = {
  coswin: swin,
  "swin with padding": { ...swin, imageSize: 40, embedding: "patch", stemKernel: 4 },
  // One image's intermediates exceed the cache's share: grouped by image unless the whole batch is asked for.
  "a wide coswin": { ...swin, width: 64, depths: [1], mlpRatio: 300, headWidth: 64 },
  vit: {
    kind: "vit",
    imageSize: 32,
    patch: 8,
    width: 16,
    heads: 2,
    layers: 2,
    mlpRatio: 4,
    activation: "quick-gelu",
    ...colors,
  },
};
const size = { vocabulary: 50, contextLength: 12, width: 16, heads: 2, layers: 2 };
const texts: Record<string, TextEncoderConfig> = {
  "clip-transformer": { kind: "clip-transformer", ...size, activation: "quick-gelu" },
  "sentence-encoder": { kind: "sentence-encoder", ...size, hidden: 32 },
};
const batchOf = (name: string): DynamicAxis => ({ name: "batch", probes: [2, 3, 5], input: name, axis: 0 });

async function sessionOf(tower: TwoTower, axes: DynamicAxis[], build: (sizes: AxisSizes) => Record<string, Tensor>) {
  const weights = initialWeights(tower, "dynamic axes");
  const { outputs, axisNames } = withDynamicAxes(axes, build);
  const { bytes } = encodeOnnx({ outputs, axisNames, parameters: namedParameters(tower), weights });
  return { session: await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 }), weights };
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(actual[i] - expected[i]));
  expect(actual.length).toBe(expected.length);
  expect(largest).toBeLessThan(1e-5);
}

describe("withDynamicAxes", () => {
  it.each(Object.keys(images))("gives a %s image encoder that takes any batch", async (name) => {
    const config = images[name] as ImageEncoderConfig;
    const tower = new TwoTower({ image: config, text: texts["sentence-encoder"] as TextEncoderConfig, embedding: 8 });
    const build = (batch: number, wholeBatch: boolean) => ({
      embedding: tower.embedImages(input("pixels", [batch, config.imageSize, config.imageSize, 3], "uint8"), {
        wholeBatch,
      }),
    });
    const { session, weights } = await sessionOf(tower, [batchOf("pixels")], ({ batch }) => build(batch, true));
    for (const batch of [1, 2, 7]) {
      const pixels = Uint8Array.from(
        { length: batch * config.imageSize ** 2 * 3 },
        (_, i) => (i * 131 + (i >> 7)) % 256,
      );
      const fixed = await compile({ outputs: build(batch, false), parameters: namedParameters(tower), weights });
      const expected = (await fixed.run({ pixels })).embedding as Float32Array;
      const dims = [batch, config.imageSize, config.imageSize, 3];
      const { embedding } = await session.run({ pixels: new ort.Tensor("uint8", pixels, dims) });
      expectClose(embedding?.data as Float32Array, expected);
      await fixed.dispose();
    }
    await session.release();
  });

  it.each(Object.keys(texts))("gives a %s that takes any batch and any length", async (name) => {
    const tower = new TwoTower({ image: swin, text: texts[name] as TextEncoderConfig, embedding: 8 });
    const axes: DynamicAxis[] = [
      batchOf("text.ids"),
      { name: "tokens", probes: [3, 4, 5], input: "text.ids", axis: 1 },
    ];
    const build = (batch: number, tokens: number) => ({ embedding: tower.embedTexts(textInputs(batch, tokens)) });
    const { session, weights } = await sessionOf(tower, axes, ({ batch, tokens }) => build(batch, tokens));
    expect(session.inputMetadata[0]).toMatchObject({ shape: ["batch", "tokens"] });
    for (const [batch, tokens] of [
      [1, 2],
      [1, 12],
      [4, 9],
    ] as const) {
      const ids = Int32Array.from({ length: batch * tokens }, (_, i) => (i * 7) % 50);
      const mask = Float32Array.from({ length: batch * tokens }, (_, i) => (i % tokens < tokens - (i % 2) ? 1 : 0));
      for (let row = 0; row < batch; row++) mask.fill(1, row * tokens, row * tokens + 2);
      const fixed = await compile({ outputs: build(batch, tokens), parameters: namedParameters(tower), weights });
      const expected = (await fixed.run({ "text.ids": ids, "text.mask": mask })).embedding as Float32Array;
      const { embedding } = await session.run({
        "text.ids": new ort.Tensor("int32", ids, [batch, tokens]),
        "text.mask": new ort.Tensor("float32", mask, [batch, tokens]),
      });
      expectClose(embedding?.data as Float32Array, expected);
      await fixed.dispose();
    }
    await session.release();
  });

  it.each<[string, string, (x: Tensor, batch: number) => Tensor]>([
    [
      "a batch cut into single images",
      "Concat",
      (x, batch) => concat(split(x, 0, new Array<number>(batch).fill(1)), 0),
    ],
    ["a constant as long as the batch", "Add", (x, batch) => add(x, constant(new Float32Array(batch), [batch, 1]))],
    [
      "a length that is no multiple",
      "Reshape",
      (x, batch) =>
        reshape(
          reshape(x, [4 * batch]),
          [batch + (batch === 2 ? 0 : 0), 4].map((n, i) =>
            i === 0 && batch === 5 ? 10 : i === 1 && batch === 5 ? 2 : n,
          ),
        ),
    ],
  ])("refuses %s and names the operator", (_, operatorName, build) => {
    const attempt = () =>
      withDynamicAxes([batchOf("x")], ({ batch }) => ({ y: build(input("x", [batch, 4]), batch as number) }));
    expect(attempt).toThrow(new RegExp(`axis changes, got ${operatorName} with`));
  });
});
