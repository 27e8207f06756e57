import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { randomData } from "../../../test/support/evaluate.ts";
import { tinyDetector } from "../../../test/support/tiny-detector.ts";
import { encodeOnnx } from "../../graph/onnx-encoding.ts";
import { input } from "../../graph/tensor.ts";
import { countParameters, initialWeights, namedParameters } from "../../nn/module.ts";
import { compile } from "../../runtime/program.ts";
import { coSwinPresets } from "../image-encoder/coswin-presets.ts";
import { decodeDetections } from "./decode-detections.ts";
import { classAgnostic, Detector, detectorPresets, encoderLevels } from "./detector.ts";
import { detectorGraph } from "./detector-graph.ts";
import { detectorConfigSchema } from "./detector-schema.ts";

const [height, width, embedding] = [32, 48, 6];

describe("detectorGraph", () => {
  it("takes any number of pictures and labels, and gives the boxes and scores of the fixed graph", async () => {
    const detector = tinyDetector(32, { kind: "text", embedding });
    const parameters = namedParameters(detector);
    const weights = initialWeights(detector, 2);
    const { bytes } = encodeOnnx({ ...detectorGraph(detector, { height, width }), parameters, weights });
    const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
    for (const [batch, labels] of [
      [1, 1],
      [4, 7],
    ] as const) {
      const pixels = Uint8Array.from(randomData([batch, height, width, 3], "pixels", 0, 255));
      const texts = randomData([labels, embedding], "texts");
      const open = await session.run({
        pixels: new ort.Tensor("uint8", pixels, [batch, height, width, 3]),
        texts: new ort.Tensor("float32", texts, [labels, embedding]),
      });
      const { grid, outputs } = detector.forward(
        input("pixels", [batch, height, width, 3], "uint8"),
        input("texts", [labels, embedding]),
      );
      const program = await compile({ outputs: { ...outputs }, parameters, weights, threads: 1 });
      const raw = (await program.run({ pixels, texts })) as Record<keyof typeof outputs, Float32Array>;
      await program.dispose();
      expect(open.boxes?.dims).toEqual([batch, grid.count, 4]);
      expect(open.scores?.dims).toEqual([batch, grid.count, labels]);
      // Everything is kept, so that each found box must be the graph's of some anchor, with its score.
      const found = decodeDetections(raw, grid, labels, {
        width: 1e6,
        height: 1e6,
        scoreThreshold: 1e-9,
        iouThreshold: 1,
        limit: Number.POSITIVE_INFINITY,
      });
      const [boxes, scores] = [open.boxes?.data as Float32Array, open.scores?.data as Float32Array];
      let compared = 0;
      for (const [b, { boxes: own, classes, scores: ownScores }] of found.entries()) {
        const best = ownScores.indexOf(Math.max(...ownScores));
        const column = Array.from(
          { length: grid.count },
          (_, a) => scores[(b * grid.count + a) * labels + classes[best]],
        );
        const anchor = column.indexOf(Math.max(...column));
        expect(ownScores[best]).toBeCloseTo(column[anchor] as number, 6);
        for (let edge = 0; edge < 4; edge++) {
          expect(own[4 * best + edge]).toBeCloseTo(Math.max(0, boxes[4 * (b * grid.count + anchor) + edge]), 2);
          compared++;
        }
      }
      expect(compared).toBe(4 * batch);
    }
    await session.release();
  });
});

describe("detectorConfigSchema", () => {
  const valid = { image: coSwinPresets.T, classes: classAgnostic, ...detectorPresets.nano };

  it("takes what a detector has, through JSON too", () => {
    const { config } = tinyDetector(32, { kind: "text", embedding });
    expect(detectorConfigSchema.parse(JSON.parse(JSON.stringify(config)))).toEqual(config);
    expect(detectorConfigSchema.parse(valid)).toEqual(valid);
  });

  it.each([
    [{ groups: 7 }, "must divide width"],
    [{ strides: [8, 16, 24] }, "must each be twice the last"],
    [{ classes: { kind: "fixed", count: 0 } }, "count"],
    [{ towers: 1 }, "towers"],
  ])("refuses %j: %s", (change, message) => {
    const { success, error } = detectorConfigSchema.safeParse({ ...valid, ...change });
    expect(success).toBe(false);
    expect(JSON.stringify(error?.issues)).toContain(message);
  });
});

describe("Detector", () => {
  it("has strides and channels of its encoder's levels", () => {
    expect(encoderLevels(coSwinPresets.T)).toEqual([
      { stride: 4, channels: 96 },
      { stride: 8, channels: 192 },
      { stride: 16, channels: 384 },
      { stride: 32, channels: 768 },
    ]);
  });

  it("leaves nothing but the encoder's last norm out of what it learns", () => {
    const detector = tinyDetector(32, classAgnostic);
    const left = [...namedParameters(detector).keys()].filter((name) => !detector.learnable.has(name));
    expect(left).toEqual(["imageEncoder.norm.weight", "imageEncoder.norm.bias"]);
  });

  it.each(Object.entries(detectorPresets))("builds preset %s on CoSwin-T", (name, preset) => {
    const detector = new Detector({ image: coSwinPresets.T, classes: classAgnostic, ...preset });
    const own = countParameters(detector) - countParameters(detector.imageEncoder);
    expect(own).toBeGreaterThan({ nano: 0.2e6, fine: 0.2e6, tiny: 0.5e6, paper: 9e6 }[name] as number);
    const { grid, outputs, lastLevel } = detector.forward(input("pixels", [1, 256, 320, 3], "uint8"));
    const anchors = preset.strides.reduce(
      (total, stride) => total + Math.ceil(256 / stride) * Math.ceil(320 / stride),
      0,
    );
    expect(grid.count).toBe(anchors);
    expect(outputs.logits.shape).toEqual([1, anchors, 1]);
    expect(lastLevel.inOrder().tokens.shape).toEqual([1, 8 * 10, 768]);
  });

  it("refuses a pyramid finer than its encoder, and texts for fixed classes", () => {
    const image = coSwinPresets.T;
    expect(() => new Detector({ image, classes: classAgnostic, ...detectorPresets.nano, strides: [2, 4, 8] })).toThrow(
      "it has 4, 8, 16, 32",
    );
    const detector = tinyDetector(32, classAgnostic);
    expect(() => detector.forward(input("pixels", [1, 32, 32, 3], "uint8"), input("texts", [2, 6]))).toThrow(
      "the classes are fixed",
    );
    const open = tinyDetector(32, { kind: "text", embedding });
    expect(() => open.forward(input("pixels", [1, 32, 32, 3], "uint8"))).toThrow("texts must be [K, 6], got none");
  });
});
