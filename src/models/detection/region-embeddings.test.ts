import { describe, expect, it } from "vitest";
import { randomData } from "../../../test/support/evaluate.ts";
import { input } from "../../graph/tensor.ts";
import { initialWeights, namedParameters } from "../../nn/module.ts";
import { compile } from "../../runtime/program.ts";
import type { CoSwin } from "../image-encoder/coswin.ts";
import { coSwinPresets } from "../image-encoder/coswin-presets.ts";
import { TwoTower } from "../two-tower.ts";
import { embedRegions } from "./region-embeddings.ts";

const size = 32;

describe("embedRegions", () => {
  const model = new TwoTower({
    image: { ...coSwinPresets.nano, width: 16, headWidth: 16, depths: [1, 1] },
    text: { kind: "sentence-encoder", vocabulary: 8, contextLength: 4, width: 8, heads: 1, layers: 1, hidden: 8 },
    embedding: 12,
  });
  const embedder = { imageEncoder: model.imageEncoder as CoSwin, imageProjection: model.imageProjection };
  const stride = 8; // of the last of two stages after a stem of 4

  it("gives a box around the whole picture the picture's own embedding, and a part another one", async () => {
    const pixels = input("pixels", [2, size, size, 3], "uint8");
    const boxes = input("boxes", [2, 2, 4]);
    const { levels } = embedder.imageEncoder.forward(pixels);
    const level = levels[1] as (typeof levels)[number];
    // One sample on each token's centre: the average is the model's own.
    const outputs = {
      regions: embedRegions(embedder, level, boxes, { stride, bins: size / stride, samples: 1 }),
      whole: model.embedImages(pixels),
    };
    const program = await compile({
      outputs,
      parameters: namedParameters(model),
      weights: initialWeights(model, 3),
      threads: 1,
    });
    const noise = randomData([2, size, size, 3], "pixels", 0, 255);
    const { regions, whole } = (await program.run({
      pixels: Uint8Array.from(noise),
      boxes: Float32Array.from([0, 0, 32, 32, 0, 0, 16, 16, 0, 0, 32, 32, 8, 8, 24, 32]),
    })) as Record<string, Float32Array>;
    await program.dispose();
    const rowOf = (data: Float32Array, row: number): Float32Array => data.subarray(12 * row, 12 * row + 12);
    const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((total, value, i) => total + value * b[i], 0);
    for (const image of [0, 1]) {
      const own = rowOf(whole as Float32Array, image);
      expect(cosine(rowOf(regions as Float32Array, 2 * image), own)).toBeCloseTo(1, 5);
      expect(cosine(rowOf(regions as Float32Array, 2 * image + 1), own)).toBeLessThan(0.9999);
    }
  });

  it("refuses a level that is not the encoder's last", () => {
    const { levels } = embedder.imageEncoder.forward(input("pixels", [1, size, size, 3], "uint8"));
    const first = levels[0] as (typeof levels)[number];
    expect(() => embedRegions(embedder, first, input("boxes", [1, 1, 4]), { stride: 4 })).toThrow(
      "must be the encoder's last",
    );
  });
});
