import { describe, expect, it } from "vitest";
import { boxIou } from "../../core/boxes.ts";
import type { DetectionImage } from "../../data/detection/detection-set.ts";
import { proposalScores, randomBoxes } from "./proposal-scores.ts";

function picture(key: string, boxes: readonly (readonly [number, number, number, number])[]): DetectionImage {
  const own = boxes.map((box, i) => ({ box, class: i, crowd: false, difficult: false, area: 100 }));
  return { key, file: key, path: key, width: 200, height: 100, boxes: own };
}

describe("proposalScores", () => {
  const images = [
    picture("a", [
      [0, 0, 40, 40],
      [60, 10, 100, 50],
    ]),
    picture("b", [[20, 20, 80, 60]]),
  ];

  it("is 1 for the objects themselves, whatever their classes, and counts them", () => {
    const found = images.map(({ boxes }) => ({
      boxes: boxes.flatMap(({ box }) => box),
      scores: boxes.map((_, i) => 0.9 - i / 10),
    }));
    const { ap, ap50, ar10, ar100, pictures, objects } = proposalScores(images, found);
    for (const score of [ap, ap50, ar10, ar100]) expect(score).toBeCloseTo(1, 9);
    expect([pictures, objects]).toEqual([2, 3]);
  });

  it("asks recall of the best ten alone for ar10", () => {
    const wrong = Array.from({ length: 10 }, (_, i) => [150, 60 + i, 160, 70 + i]).flat();
    const found = images.map(({ boxes }) => ({
      boxes: [...wrong, ...boxes.flatMap(({ box }) => box)],
      scores: [...new Array<number>(10).fill(0.9), ...boxes.map(() => 0.1)],
    }));
    const { ar10, ar100 } = proposalScores(images, found);
    expect(ar10).toBe(0);
    expect(ar100).toBeCloseTo(1, 9);
  });
});

describe("randomBoxes", () => {
  it("lie in the picture, have all sizes, and are the same for the same picture and seed", () => {
    const image = picture("a", []);
    const { boxes, scores } = randomBoxes(image, 500, 1);
    const at = (i: number) => [boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]] as const;
    const all = Array.from({ length: 500 }, (_, i) => at(i));
    for (const [x0, y0, x1, y1] of all) {
      expect(x0).toBeGreaterThanOrEqual(0);
      expect(y0).toBeGreaterThanOrEqual(0);
      expect(x1).toBeLessThanOrEqual(200.001);
      expect(y1).toBeLessThanOrEqual(100.001);
      expect(Math.min(x1 - x0, y1 - y0)).toBeGreaterThan(3);
    }
    expect(Math.max(...all.map((box) => boxIou(box, [0, 0, 200, 100])))).toBeGreaterThan(0.6);
    expect(all.filter(([x0, , x1]) => x1 - x0 < 20).length).toBeGreaterThan(50);
    expect(randomBoxes(image, 500, 1)).toEqual({ boxes, scores, classes: new Int32Array(500) });
    expect(randomBoxes(image, 500, 2).boxes).not.toEqual(boxes);
    expect(randomBoxes(picture("b", []), 500, 1).boxes).not.toEqual(boxes);
  });
});
