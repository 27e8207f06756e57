import { describe, expect, it } from "vitest";
import { cocoAveragePrecision } from "./coco-average-precision.ts";

const square = (x: number, side = 10) => [x, 0, x + side, side];

describe("cocoAveragePrecision", () => {
  it("gives hand-worked values", () => {
    // Ranks + − +: precision 1 up to recall 0.5 (51 points), then 2/3 (50 points), at every threshold.
    const truth = [{ boxes: [...square(0), ...square(100)], classes: [0, 0] }];
    const detected = [
      { boxes: [...square(0), ...square(50), ...square(100)], classes: [0, 0, 0], scores: [0.9, 0.8, 0.7] },
    ];
    const scores = cocoAveragePrecision(truth, detected, { classes: 2 });
    expect(scores.ap).toBeCloseTo((51 + (50 * 2) / 3) / 101, 12);
    expect([scores.ar1, scores.ar10, scores.apSmall]).toEqual([0.5, 1, scores.ap]);
    expect(scores.apLarge).toBeNaN();
    expect(scores.perClass.map(({ truths, detections }) => [truths, detections])).toEqual([
      [2, 3],
      [0, 0],
    ]);
    expect(scores.perClass[1].ap).toBeNaN();
  });

  it("counts a box that is shifted by a quarter only at thresholds up to 0.60", () => {
    const truth = [{ boxes: [0, 0, 20, 20], classes: [0] }];
    const detected = [{ boxes: [5, 0, 25, 20], classes: [0], scores: [1] }]; // IoU 15/25
    const { ap, ap50, ap75 } = cocoAveragePrecision(truth, detected, { classes: 1 });
    expect(ap50).toBeCloseTo(1, 12);
    expect(ap75).toBe(0);
    expect(ap).toBeCloseTo(0.3, 12);
  });

  it("is undefined without truths, and 0 without detections", () => {
    const none = { boxes: [], classes: [] };
    const found = { boxes: square(0), classes: [0], scores: [1] };
    expect(cocoAveragePrecision([none], [found], { classes: 1 }).ap).toBeNaN();
    expect(cocoAveragePrecision([], [], { classes: 1 }).ap).toBeNaN();
    const known = { boxes: square(0), classes: [0] };
    expect(cocoAveragePrecision([known], [{ ...none, scores: [] }], { classes: 1 }).ap).toBe(0);
  });

  it("refuses what does not fit", () => {
    const truth = [{ boxes: square(0), classes: [0] }];
    const evaluate = (found: { classes: number[]; scores: number[] }) =>
      cocoAveragePrecision(truth, [{ boxes: square(0), ...found }], { classes: 1 });
    expect(() => evaluate({ classes: [1], scores: [1] })).toThrow("classes are 0 … 0, got 1 in picture 0");
    expect(() => evaluate({ classes: [0], scores: [Number.NaN] })).toThrow("score 0 of picture 0 is NaN");
    expect(() => evaluate({ classes: [0], scores: [] })).toThrow("1 detections each");
    expect(() => cocoAveragePrecision(truth, [], { classes: 1 })).toThrow("got 0 for 1");
  });
});
