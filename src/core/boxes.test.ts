import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Box,
  boxArea,
  boxFromCentre,
  boxFromXywh,
  boxIou,
  boxToCentre,
  boxToXywh,
  clipBox,
  giouMatrix,
  iouMatrix,
} from "./boxes.ts";

const box = fc
  .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 }), fc.nat(20), fc.nat(20))
  .map(([x, y, width, height]): Box => [x, y, x + width, y + height]);

/** The pixels of a box of whole edges. */
function pixels([x0, y0, x1, y1]: Box): Set<string> {
  const found = new Set<string>();
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) found.add(`${x} ${y}`);
  return found;
}

describe("boxes", () => {
  it("converts between edges, corner with size, and centre with size", () => {
    expect(boxFromXywh([10, 20, 5, 6])).toEqual([10, 20, 15, 26]);
    expect(boxToXywh([10, 20, 15, 26])).toEqual([10, 20, 5, 6]);
    expect(boxFromCentre([12.5, 23, 5, 6])).toEqual([10, 20, 15, 26]);
    expect(boxToCentre([10, 20, 15, 26])).toEqual([12.5, 23, 5, 6]);
  });

  it("clips to the picture, and leaves no area of a box outside", () => {
    expect(clipBox([-5, 3, 20, 30], 16, 16)).toEqual([0, 3, 16, 16]);
    expect(boxArea(clipBox([20, 3, 40, 30], 16, 16))).toBe(0);
    expect(boxArea([5, 5, 3, 9])).toBe(0);
  });

  it("counts IoU and GIoU as pixels do", () => {
    fc.assert(
      fc.property(box, box, (a, b) => {
        const [left, right] = [pixels(a), pixels(b)];
        const shared = [...left].filter((pixel) => right.has(pixel)).length;
        const union = left.size + right.size - shared;
        const iou = shared === 0 ? 0 : shared / union;
        expect(boxIou(a, b)).toBeCloseTo(iou, 12);
        const around = boxArea([
          ...([Math.min(a[0], b[0]), Math.min(a[1], b[1])] as const),
          ...([Math.max(a[2], b[2]), Math.max(a[3], b[3])] as const),
        ]);
        expect(giouMatrix(a, b)[0]).toBeCloseTo(around === 0 ? 0 : iou - (around - union) / around, 12);
      }),
    );
  });

  it("fills a matrix row by row, and divides by the first box alone for crowds", () => {
    const a = [0, 0, 10, 10, 0, 0, 2, 2];
    const b = [0, 0, 10, 10, 20, 20, 30, 30, 0, 0, 5, 10];
    expect(Array.from(iouMatrix(a, b))).toEqual([1, 0, 0.5, 0.04, 0, 4 / 50]);
    expect(Array.from(iouMatrix(a, b, { crowd: [1, 1, 0] }))).toEqual([1, 0, 0.5, 1, 0, 4 / 50]);
    expect(() => iouMatrix([1, 2, 3], b)).toThrow("must be [N, 4]");
  });
});
