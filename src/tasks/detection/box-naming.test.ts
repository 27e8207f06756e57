import { describe, expect, it } from "vitest";
import type { EncoderLevel } from "../../core/encoder-level.ts";
import type { RgbImage } from "../../core/image.ts";
import { rgbImage } from "../../core/image.ts";
import { letterboxImage } from "../../data/box-transforms/letterboxed-image.ts";
import { cropEmbeddings, proposalNamer, regionEmbeddings } from "./box-naming.ts";

// 80 × 40 in a square of 40: half as large, with bars of 10 above and below.
const image = letterboxImage(rgbImage(80, 40), { side: 40, padding: "square", stride: 8 }, true);

describe("regionEmbeddings", () => {
  it("asks once for all boxes of a picture, with their margin, in pixels of the canvas and cut to it", async () => {
    const calls: { picture: RgbImage | EncoderLevel; boxes: number[] }[] = [];
    const embedder = {
      async embedRegions(picture: RgbImage | EncoderLevel, boxes: Float32Array) {
        calls.push({ picture, boxes: [...boxes] });
        return Array.from({ length: boxes.length / 4 }, (_, i) => Float32Array.of(i));
      },
    };
    const embed = regionEmbeddings(embedder, 0.1);
    const found = await embed(
      [
        [20, 10, 60, 30],
        [0, 0, 80, 40],
      ],
      { image },
    );
    expect(found.map(([first]) => first)).toEqual([0, 1]);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.picture).toBe(image);
    // [10, 15, 30, 25] with 2 around; [0, 10, 40, 30] with 4 around.
    expect(calls[0]?.boxes).toEqual([8, 13, 32, 27, 0, 6, 40, 34]);
    expect(await embed([], { image })).toEqual([]);
    expect(calls).toHaveLength(1);
    const level = { tokens: new Float32Array(25), height: 5, width: 5 };
    await embed([[0, 0, 80, 40]], { image, level });
    expect(calls[1]).toEqual({ picture: level, boxes: [0, 6, 40, 34] });
  });
});

describe("proposalNamer", () => {
  const found = {
    boxes: Float32Array.from([0, 0, 20, 20, 40, 0, 60, 20, 41, 0, 61, 20, 60, 20, 80, 40]),
    classes: new Int32Array(4),
    scores: Float32Array.from([0.81, 0.64, 0.36, 0.25]),
  };
  const naming = {
    labels: ["cat", "dog"],
    probabilities: (embedding: Float32Array) => embedding,
    proposals: 10,
    objectnessWeight: 0.5,
    scoreThreshold: 0.1,
    nmsThreshold: 0.6,
    limit: 10,
  };

  it("suppresses among all proposals, names what is left, and drops what fits a background best", async () => {
    const asked: number[][] = [];
    const namer = proposalNamer({
      ...naming,
      async embedBoxes(boxes) {
        asked.push(...boxes.map((box) => [...box]));
        return [Float32Array.of(0.16, 0, 0), Float32Array.of(0, 0.25, 0), Float32Array.of(0.1, 0, 0.9)];
      },
    });
    const detections = await namer(found, image);
    expect(asked).toEqual([
      [0, 0, 20, 20],
      [40, 0, 60, 20],
      [60, 20, 80, 40],
    ]);
    expect(detections.map(({ label }) => label)).toEqual(["dog", "cat"]);
    expect(detections[0]?.score).toBeCloseTo(0.4, 6); // √(0.64 · 0.25)
    expect(detections[1]?.score).toBeCloseTo(0.36, 6); // √(0.81 · 0.16)
  });

  it("names more boxes than are cropped at once, in order", async () => {
    const sizes: number[] = [];
    const embedder = {
      async embedImages(images: readonly RgbImage[]) {
        sizes.push(images.length);
        return images.map(({ width }) => Float32Array.of(width));
      },
    };
    const boxes = Array.from({ length: 40 }, (_, i) => [0, 0, i + 1, 1] as const);
    const embeddings = await cropEmbeddings(embedder, 0)(boxes, { image });
    expect(sizes).toEqual([32, 8]);
    expect(embeddings.map(([width]) => width)).toEqual(boxes.map((_, i) => i + 1));
  });
});
