import { describe, expect, it } from "vitest";
import { drawCocoCase } from "../../../test/parity/coco-ap-cases.ts";
import { cocoAveragePrecision } from "./coco-average-precision.ts";
import { detectionErrors } from "./detection-errors.ts";

const square = (x: number, y: number, side = 10) => [x, y, x + side, y + side];

describe("detectionErrors", () => {
  it("names each kind, and says what mending it would gain", () => {
    const truth = [
      {
        boxes: [...square(0, 0), ...square(100, 0), ...square(200, 0, 40), ...square(300, 0, 100)],
        classes: [0, 0, 0, 0],
      },
    ];
    const detected = [
      {
        // found, found again, shifted by 4 of 10 (IoU 3/7), wrong class, wrong class and shifted by 20 of 40, nothing
        boxes: [
          ...[...square(0, 0), ...square(1, 0), ...square(104, 0)],
          ...[...square(200, 0, 40), ...square(220, 0, 40), ...square(500, 500)],
        ],
        classes: [0, 0, 0, 1, 1, 0],
        scores: [0.9, 0.8, 0.7, 0.6, 0.5, 0.95],
      },
    ];
    const errors = detectionErrors(truth, detected, { classes: 2 });
    expect(errors.counts).toEqual({
      localisation: 1,
      class: 1,
      classAndLocalisation: 1,
      duplicate: 1,
      background: 1,
      missed: 1,
    });
    // Class 0 ranks − + − −: one of four found at precision 1/2, which 26 of 101 recall points reach.
    expect(errors.ap50).toBeCloseTo((26 * 0.5) / 101, 12);
    expect(errors.ap50Gains.background).toBeCloseTo((26 * 1) / 101 - errors.ap50, 12);
    expect(errors.ap50Gains.duplicate).toBe(0); // it stands behind the one truth that was found
    expect(errors.ap50Gains.classAndLocalisation).toBe(0); // class 1 has no truth
    // − + − +: two found, both at precision 1/2
    expect(errors.ap50Gains.localisation).toBeCloseTo((51 * 0.5) / 101 - errors.ap50, 12);
    // − + − − +: the mended class error comes last, 2/5
    expect(errors.ap50Gains.class).toBeCloseTo((26 * 0.5 + 25 * 0.4) / 101 - errors.ap50, 12);
    expect(errors.ap50Gains.missed).toBeCloseTo((34 * 0.5) / 101 - errors.ap50, 12); // one of three
    expect(errors.sizes).toEqual({
      small: { truths: 2, found: 1 },
      medium: { truths: 1, found: 0 },
      large: { truths: 1, found: 0 },
    });
  });

  it("leaves out what lies on crowds and on ignored truths", () => {
    const truth = [
      { boxes: [...square(0, 0, 100), ...square(200, 0)], classes: [0, 0], crowd: [1, 0], ignored: [0, 1] },
    ];
    const detected = [{ boxes: [...square(10, 10), ...square(200, 0)], classes: [0, 0], scores: [1, 1] }];
    const errors = detectionErrors(truth, detected, { classes: 1 });
    expect(Object.values(errors.counts)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(errors.ap50).toBeNaN();
  });

  it("starts from the AP50 of the COCO metric where nothing is ignored and scores do not tie", () => {
    let compared = 0;
    for (let number = 0; number < 240; number++) {
      const { classes, truth, detected } = drawCocoCase(number);
      const plain = truth.map(({ boxes, classes: own }) => ({ boxes, classes: own }));
      const scores = new Map<number, number>();
      const distinct = detected.map((found) => ({
        ...found,
        scores: Array.from(found.scores, (score) => {
          const seen = scores.get(score) ?? 0;
          scores.set(score, seen + 1);
          return score - seen * 1e-6;
        }),
      }));
      if (detected.some(({ scores: own }) => own.length > 100)) continue;
      const { ap50 } = cocoAveragePrecision(plain, distinct, { classes });
      const errors = detectionErrors(plain, distinct, { classes });
      if (Number.isNaN(ap50)) expect(errors.ap50).toBeNaN();
      else {
        expect(errors.ap50).toBeCloseTo(ap50, 9);
        compared++;
        for (const gain of Object.values(errors.ap50Gains)) expect(gain).toBeGreaterThan(-1e-9);
      }
    }
    expect(compared).toBeGreaterThan(100);
  });
});
