import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { type AnchorGrid, anchorGrid } from "../../models/detection/anchors.ts";
import { anchorTargets, assignAnchors } from "./assignment.ts";

/** ATSS as its paper writes it: whole distance and IoU tables, sorts, no regard to speed. */
function naiveAssignment(grid: AnchorGrid, boxes: Float32Array, candidates: number): number[] {
  const anchors = Array.from({ length: grid.count }, (_, i) => [...grid.boxesXyxy.slice(4 * i, 4 * i + 4)]);
  const centre = ([x0, y0, x1, y1]: number[]): [number, number] => [(x0 + x1) / 2, (y0 + y1) / 2];
  const objects = Array.from({ length: boxes.length / 4 }, (_, i) => [...boxes.slice(4 * i, 4 * i + 4)]);
  const claims = anchors.map(() => [] as { object: number; iou: number }[]);
  for (const [object, box] of objects.entries()) {
    const chosen: number[] = [];
    let first = 0;
    for (const { height, width } of grid.levels) {
      const level = Array.from({ length: height * width }, (_, i) => first + i);
      const distance = (i: number): number => {
        const [a, b] = [centre(anchors[i] as number[]), centre(box)];
        return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2;
      };
      chosen.push(...level.sort((i, j) => distance(i) - distance(j) || i - j).slice(0, candidates));
      first += height * width;
    }
    const iouOf = (i: number): number => {
      const [x0, y0, x1, y1] = anchors[i] as [number, number, number, number];
      const shared =
        Math.max(0, Math.min(x1, box[2]) - Math.max(x0, box[0])) *
        Math.max(0, Math.min(y1, box[3]) - Math.max(y0, box[1]));
      return shared / ((x1 - x0) * (y1 - y0) + (box[2] - box[0]) * (box[3] - box[1]) - shared);
    };
    const ious = chosen.map(iouOf);
    const mean = ious.reduce((a, b) => a + b, 0) / ious.length;
    const deviation = Math.sqrt(ious.reduce((total, iou) => total + (iou - mean) ** 2, 0) / (ious.length - 1));
    for (const [i, anchor] of chosen.entries()) {
      const [x, y] = centre(anchors[anchor] as number[]);
      const inside = x - box[0] > 0.01 && y - box[1] > 0.01 && box[2] - x > 0.01 && box[3] - y > 0.01;
      if (inside && ious[i] >= mean + deviation) claims[anchor].push({ object, iou: ious[i] as number });
    }
  }
  return claims.map((list) => {
    const best = list.reduce((top, claim) => (claim.iou > top.iou ? claim : top), { object: -1, iou: -1 });
    return best.object;
  });
}

const grid = anchorGrid([
  { stride: 8, height: 10, width: 12 },
  { stride: 16, height: 5, width: 6 },
  { stride: 32, height: 3, width: 3 },
]);

describe("assignAnchors", () => {
  it("agrees with a naive version on random objects, ties on whole pixels among them", () => {
    const rng = new Rng("objects");
    let assigned = 0;
    for (let round = 0; round < 100; round++) {
      const whole = round % 2 === 0;
      const boxes = Float32Array.from(
        Array.from({ length: 1 + rng.int(6) }, () => {
          const [x, y] = [rng.uniform(0, 80), rng.uniform(0, 64)];
          const box = [x, y, x + rng.uniform(4, 60), y + rng.uniform(4, 60)];
          return whole ? box.map((value) => 4 * Math.round(value / 4 + 0.5)) : box;
        }).flat(),
      );
      const owners = [...assignAnchors(grid, boxes)];
      expect(owners).toEqual(naiveAssignment(grid, boxes, 9));
      assigned += owners.filter((owner) => owner >= 0).length;
    }
    expect(assigned).toBeGreaterThan(1000);
  });

  it("gives no anchor to a picture without objects", () => {
    expect(assignAnchors(grid, new Float32Array(0)).every((owner) => owner === -1)).toBe(true);
  });

  it("refuses boxes that are not fours", () => {
    expect(() => assignAnchors(grid, new Float32Array(3))).toThrow("must be [G, 4]");
  });
});

describe("anchorTargets", () => {
  it("has the owner's class and box, and centerness by the distances to its edges", () => {
    const box = [18, 10, 66, 58];
    const objects = { boxesXyxy: Float32Array.from(box), classes: Int32Array.of(4) };
    const targets = anchorTargets(grid, objects);
    const anchor = targets.classes.indexOf(4);
    expect([...targets.boxesXyxy.slice(4 * anchor, 4 * anchor + 4)]).toEqual(box);
    const [x, y] = [0, 1].map(
      (axis) => (grid.boxesXyxy[4 * anchor + axis] + grid.boxesXyxy[4 * anchor + axis + 2]) / 2,
    );
    const [l, t, r, b] = [x - 18, y - 10, 66 - x, 58 - y];
    const expected = Math.sqrt(((Math.min(l, r) / Math.max(l, r)) * Math.min(t, b)) / Math.max(t, b));
    expect(targets.centerness[anchor]).toBeCloseTo(expected, 6);
    const free = targets.classes.indexOf(-1);
    expect(targets.centerness[free]).toBe(0);
    expect(targets.boxesXyxy.slice(4 * free, 4 * free + 4)).toEqual(grid.boxesXyxy.slice(4 * free, 4 * free + 4));
  });

  it("teaches nothing within an ignored region, but what an object owns", () => {
    const region = Float32Array.of(0, 0, 96, 40);
    const objects = { boxesXyxy: Float32Array.of(18, 10, 66, 58), classes: Int32Array.of(0), ignoredXyxy: region };
    const plain = anchorTargets(grid, { ...objects, ignoredXyxy: new Float32Array(0) });
    const targets = anchorTargets(grid, objects);
    for (let i = 0; i < grid.count; i++) {
      const [x, y] = [0, 1].map((axis) => (grid.boxesXyxy[4 * i + axis] + grid.boxesXyxy[4 * i + axis + 2]) / 2);
      const isIgnored = plain.classes[i] === -1 && x < 96 && y < 40;
      expect(targets.classes[i]).toBe(isIgnored ? -2 : plain.classes[i]);
    }
    expect(targets.classes.includes(-2)).toBe(true);
  });
});
