import { describe, expect, it } from "vitest";
import { boxIou } from "./boxes.ts";
import { classWiseNonMaxSuppression, nonMaxSuppression } from "./non-max-suppression.ts";
import { Rng } from "./rng.ts";

/** The definition: take the best box left, drop all that overlap it, repeat. */
function naive(boxes: readonly number[][], scores: readonly number[], classes: readonly number[], threshold: number) {
  let left = scores.map((_, i) => i);
  const kept: number[] = [];
  while (left.length > 0) {
    const best = left.reduce((a, b) => (scores[b] > scores[a] ? b : a));
    kept.push(best);
    left = left.filter((i) => {
      if (i === best) return false;
      const [a, b] = [boxes[best], boxes[i]] as [number[], number[]];
      const iou = boxIou([a[0], a[1], a[2], a[3]], [b[0], b[1], b[2], b[3]]);
      return classes[i] !== classes[best] || iou <= threshold;
    });
  }
  return kept;
}

describe("non-maximum suppression", () => {
  it("equals the definition, alone and by class, with ties", () => {
    const rng = new Rng("nms");
    let suppressed = 0;
    for (let round = 0; round < 60; round++) {
      const count = rng.int(40);
      const boxes = Array.from({ length: count }, () => {
        const [x, y] = [rng.int(40), rng.int(40)];
        return [x, y, x + 5 + rng.int(20), y + 5 + rng.int(20)];
      });
      const scores = boxes.map(() => rng.int(12) / 12);
      const classes = boxes.map(() => rng.int(3));
      const options = { iouThreshold: [0.1, 0.3, 0.5, 0.7][round % 4] };
      const one = boxes.map(() => 0);
      const all = Array.from(nonMaxSuppression(boxes.flat(), scores, options));
      expect(all).toEqual(naive(boxes, scores, one, options.iouThreshold));
      const byClass = Array.from(classWiseNonMaxSuppression(boxes.flat(), scores, classes, options));
      expect(byClass).toEqual(naive(boxes, scores, classes, options.iouThreshold));
      const limited = classWiseNonMaxSuppression(boxes.flat(), scores, classes, { ...options, limit: 3 });
      expect(Array.from(limited)).toEqual(byClass.slice(0, 3));
      suppressed += count - all.length;
    }
    expect(suppressed).toBeGreaterThan(100);
  });

  it("keeps a box whose IoU is exactly the threshold, and refuses lists that do not agree", () => {
    const boxes = [0, 0, 10, 10, 0, 0, 10, 5];
    expect(Array.from(nonMaxSuppression(boxes, [1, 0.5], { iouThreshold: 0.5 }))).toEqual([0, 1]);
    expect(Array.from(nonMaxSuppression(boxes, [1, 0.5], { iouThreshold: 0.49 }))).toEqual([0]);
    expect(() => nonMaxSuppression(boxes, [1], { iouThreshold: 0.5 })).toThrow("needs a score and a class a box");
  });
});
