import { describe, expect, it } from "vitest";
import { randomData } from "../../../test/support/evaluate.ts";
import { anchorGrid, decodeBox } from "./anchors.ts";
import { decodeDetections } from "./decode-detections.ts";
import { decodeScoredBoxes } from "./decode-scored-boxes.ts";

const grid = anchorGrid([
  { stride: 8, height: 4, width: 6 },
  { stride: 16, height: 2, width: 3 },
]);
const [width, height, classes] = [48, 32, 2];

describe("decodeScoredBoxes", () => {
  it("finds in boxes and scores what decodeDetections finds in the outputs they are made of", () => {
    const logits = randomData([grid.count, classes], "logits", -3, 3);
    const deltas = randomData([grid.count, 4], "deltas", -4, 4);
    const centerness = randomData([grid.count], "centerness", -2, 2);
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const boxes = new Float32Array(4 * grid.count);
    for (let a = 0; a < grid.count; a++) boxes.set(decodeBox(grid, a, deltas, 4 * a), 4 * a);
    const scores = Float32Array.from(logits, (logit, i) => {
      return sigmoid(logit) * sigmoid(centerness[Math.floor(i / classes)] as number);
    });
    const options = { width, height, scoreThreshold: 1e-9, iouThreshold: 0.5, limit: 12 };
    const [expected] = decodeDetections({ logits, deltas, centerness }, grid, classes, options);
    const found = decodeScoredBoxes(boxes, scores, options);
    expect(found.classes).toEqual(expected?.classes);
    expect(found.classes).toHaveLength(12);
    for (const [i, value] of found.boxes.entries()) expect(value).toBeCloseTo(expected?.boxes[i] as number, 4);
    for (const [i, value] of found.scores.entries()) expect(value).toBeCloseTo(expected?.scores[i] as number, 6);
    const few = decodeScoredBoxes(boxes, scores, { ...options, scoreThreshold: found.scores[3] as number });
    expect(few.scores).toEqual(found.scores.slice(0, 3));
  });

  it("refuses lengths that do not agree", () => {
    const options = { width, height, scoreThreshold: 0, iouThreshold: 1, limit: 1 };
    expect(() => decodeScoredBoxes(new Float32Array(8), new Float32Array(3), options)).toThrow(
      "needs [A, 4] and [A, K]",
    );
  });
});
