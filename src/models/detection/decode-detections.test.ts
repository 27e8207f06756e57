import { describe, expect, it } from "vitest";
import { evaluate, randomData } from "../../../test/support/evaluate.ts";
import { clipBox } from "../../core/boxes.ts";
import { classWiseNonMaxSuppression } from "../../core/non-max-suppression.ts";
import { input } from "../../graph/tensor.ts";
import { type AnchorGrid, anchorGrid, decodeBox, decodeBoxes } from "./anchors.ts";
import { type DecodeOptions, decodeDetections, type RawDetections } from "./decode-detections.ts";

const grid = anchorGrid([
  { stride: 8, height: 4, width: 6 },
  { stride: 16, height: 2, width: 3 },
]);
const [width, height, classes] = [48, 32, 2];

/** Two pictures of outputs; class logits below the threshold but where `set` says. */
function rawOutputs(set: readonly { image: number; anchor: number; id: number; logit: number }[]): RawDetections {
  const logits = new Float32Array(2 * grid.count * classes).fill(-8);
  for (const { image, anchor, id, logit } of set) logits[(image * grid.count + anchor) * classes + id] = logit;
  return {
    logits,
    deltas: randomData([2 * grid.count * 4], "deltas", -2, 2),
    centerness: randomData([2 * grid.count], "centerness", -1, 1),
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** One picture the long way: every class of every place is scored, each level sorted, and all suppressed. */
function plainly(
  { logits, deltas, centerness }: RawDetections,
  { levels, ...rest }: AnchorGrid,
  classCount: number,
  options: Required<DecodeOptions>,
) {
  const found: { box: readonly number[]; id: number; score: number }[] = [];
  let anchor = 0;
  for (const level of levels) {
    const all: typeof found = [];
    for (const end = anchor + level.height * level.width; anchor < end; anchor++) {
      const box = clipBox(decodeBox({ levels, ...rest }, anchor, deltas, 4 * anchor), options.width, options.height);
      for (let id = 0; id < classCount; id++) {
        const logit = logits[anchor * classCount + id];
        const score = sigmoid(logit) * sigmoid(centerness[anchor]);
        if (logit > Math.log(options.scoreThreshold / (1 - options.scoreThreshold))) all.push({ box, id, score });
      }
    }
    const best = all.sort((a, b) => b.score - a.score).slice(0, options.candidatesPerLevel);
    found.push(...best.filter(({ box: [x0, y0, x1, y1] }) => x1 > x0 && y1 > y0));
  }
  const flat = found.flatMap(({ box }) => [...box]);
  const [scores, ids] = [found.map(({ score }) => score), found.map(({ id }) => id)];
  const kept = [...classWiseNonMaxSuppression(flat, scores, ids, options)];
  return {
    boxes: Float32Array.from(kept.flatMap((i) => found[i]?.box ?? [])),
    classes: Int32Array.from(kept, (i) => ids[i] as number),
    scores: Float32Array.from(kept, (i) => scores[i] as number),
  };
}

describe("decodeDetections", () => {
  it("has the graph's boxes, clipped, and the product of both scores, best first", async () => {
    const raw = rawOutputs([
      { image: 1, anchor: 2, id: 1, logit: 0.4 },
      { image: 1, anchor: 25, id: 0, logit: 3 },
    ]);
    const deltas = input("deltas", [2, grid.count, 4]);
    const { boxes } = await evaluate({ boxes: decodeBoxes(deltas, grid) }, { deltas: raw.deltas });
    const [first, second] = decodeDetections(raw, grid, classes, { width, height });
    expect(first?.scores).toHaveLength(0);
    expect([...(second?.classes ?? [])]).toEqual([0, 1]);
    for (const [i, [anchor, logit]] of (
      [
        [25, 3],
        [2, 0.4],
      ] as const
    ).entries()) {
      const at = grid.count + anchor;
      expect(second?.scores[i]).toBeCloseTo(sigmoid(logit) * sigmoid(raw.centerness[at]), 6);
      for (let edge = 0; edge < 4; edge++) {
        const clipped = Math.min(Math.max((boxes as Float32Array)[4 * at + edge], 0), edge % 2 ? height : width);
        expect(second?.boxes[4 * i + edge]).toBeCloseTo(clipped, 3);
      }
    }
  });

  it("thresholds the class alone, suppresses within a class, and keeps no more than asked", () => {
    const neighbours = [0, 1].flatMap((id) =>
      [7, 8].map((anchor) => ({ image: 0, anchor, id, logit: 1 + anchor / 10 })),
    );
    const raw = { ...rawOutputs(neighbours), deltas: new Float32Array(2 * grid.count * 4) };
    const kept = (options: object): number => {
      const [found] = decodeDetections(raw, grid, classes, { width: 500, height: 500, ...options });
      return found?.scores.length ?? -1;
    };
    // The anchors are 64 px squares 8 px apart: IoU 56/72 = 0.78, less after clipping to x ≥ 0.
    expect(kept({ iouThreshold: 0.9 })).toBe(4);
    expect(kept({ iouThreshold: 0.6 })).toBe(2);
    expect(kept({ iouThreshold: 0.9, limit: 3 })).toBe(3);
    expect(kept({ iouThreshold: 0.9, candidatesPerLevel: 1 })).toBe(1);
    expect(kept({ scoreThreshold: sigmoid(1.75), iouThreshold: 0.9 })).toBe(2);
    expect(kept({ scoreThreshold: 0.9 })).toBe(0);
  });

  it("takes the best of very many candidates, as sorting all of them would", () => {
    const many = 40;
    const logits = randomData([grid.count, many], "logits", -6, 2).map((value, i) => (i % 7 === 0 ? -1 : value)); // ties
    const deltas = randomData([grid.count, 4], "deltas", -1, 1);
    const centerness = new Float32Array(grid.count);
    const options = { width, height, scoreThreshold: 1e-6, iouThreshold: 1, limit: 1e6 };
    const decode = (candidatesPerLevel: number) => {
      const [found] = decodeDetections({ logits, deltas, centerness }, grid, many, { ...options, candidatesPerLevel });
      return [...(found?.scores ?? [])];
    };
    const levelSizes = grid.levels.map((level) => level.height * level.width * many);
    let first = 0;
    const expected = levelSizes.flatMap((length) => {
      const ofLevel = [...logits.subarray(first, first + length)].map((logit) => sigmoid(logit) * sigmoid(0));
      first += length;
      return ofLevel.sort((a, b) => b - a).slice(0, 50);
    });
    const found = decode(50);
    expect(found).toHaveLength(100);
    for (const [i, score] of expected.sort((a, b) => b - a).entries()) expect(found[i]).toBeCloseTo(score, 6);
  });

  it("finds in 300 classes just what scores of all classes at all places, sorted, would give", () => {
    const many = 300;
    const wide = anchorGrid([
      { stride: 8, height: 12, width: 16 },
      { stride: 16, height: 6, width: 8 },
    ]);
    const size = { width: 128, height: 96 };
    // Coarse steps make ties, of classes and of centres; some centres are certain.
    const coarse = (values: Float32Array) => values.map((value) => Math.round(value * 8) / 8);
    const logits = coarse(randomData([wide.count, many], "many logits", -7, 4));
    const deltas = randomData([wide.count, 4], "many deltas", -2, 2);
    const centerness = coarse(randomData([wide.count], "many centres", -6, 6)).map((c, i) => (i % 50 ? c : 40));
    for (const [scoreThreshold, candidatesPerLevel] of [
      [0.01, 1000],
      [0.4, 1000],
      [1e-9, 70],
    ] as const) {
      const options = { ...size, scoreThreshold, candidatesPerLevel, iouThreshold: 0.6, limit: 100 };
      const [found] = decodeDetections({ logits, deltas, centerness }, wide, many, options);
      expect(found).toEqual(plainly({ logits, deltas, centerness }, wide, many, options));
      expect(found?.scores.length).toBeGreaterThan(50);
    }
  });

  it("refuses outputs of another size", () => {
    expect(() => decodeDetections(rawOutputs([]), grid, 3, { width, height })).toThrow("3 classes");
  });
});
