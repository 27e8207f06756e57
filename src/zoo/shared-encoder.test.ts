import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { letterboxImage } from "../data/box-transforms/letterboxed-image.ts";
import { decodeImage } from "../io/images.ts";
import type { DetectorModel } from "./detector-model.ts";
import type { ThreadedModel } from "./florence-model.ts";
import { loadDetector } from "./load-detector.ts";
import { loadModel } from "./load-model.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

let detector: DetectorModel;
let model: ThreadedModel;
beforeAll(async () => {
  [detector, model] = await Promise.all([
    loadDetector("florence-nano-detector", { threads: 1 }),
    loadModel("florence-nano", { threads: 1 }),
  ]);
});
afterAll(async () => {
  await detector?.dispose();
  await model?.dispose();
});

const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((total, value, i) => total + value * b[i], 0);

describe("a detector on a model's own encoder", () => {
  it("says whose encoder it is, unless it computes in bytes", async () => {
    expect(detector.encoderOf).toBe(model.fingerprint);
    await using bytes = await loadDetector("florence-nano-detector", { precision: "int8", threads: 1 });
    expect(bytes.encoderOf).toBeUndefined();
  });

  it("gives the level that the model reads the same regions from as from the picture", async () => {
    const photos = await Promise.all(["cat", "koala"].map((name) => decodeImage(join(root, `samples/${name}.jpg`))));
    const canvases = photos.map((photo) => letterboxImage(photo, detector.preprocessing, false));
    const found = await detector.detect(canvases, { keepsLevel: true });
    const boxes = Float32Array.from([0, 0, 192, 192, 40, 40, 90, 100, 100, 60, 140, 170]);
    for (const [i, canvas] of canvases.entries()) {
      const level = found[i]?.level;
      expect([level?.height, level?.width, level?.tokens.length]).toEqual([24, 24, 24 * 24 * model.featureDim]);
      const fromLevel = (await model.embedRegions?.(level ?? canvas, boxes)) ?? [];
      const fromPicture = (await model.embedRegions?.(canvas, boxes)) ?? [];
      expect(fromLevel).toHaveLength(3);
      // The detector's file has the encoder's resized position bias in half precision.
      for (const [j, region] of fromLevel.entries()) {
        expect(cosine(region, fromPicture[j] as Float32Array)).toBeGreaterThan(0.9999);
      }
    }
    const [without] = await detector.detect(canvases.slice(0, 1));
    expect(without?.level).toBeUndefined();
  });
});
