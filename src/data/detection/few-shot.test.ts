import { describe, expect, it } from "vitest";
import type { DetectionImage } from "./detection-set.ts";
import { fewShotSubset, odinwSeeds } from "./few-shot.ts";
import { pythonShuffledOrder } from "./python-shuffle.ts";

/** A picture with one box of each class. */
function picture(id: number, classes: readonly number[], side = 10): DetectionImage {
  const boxes = classes.map((own) => ({
    box: [0, 0, side, side] as const,
    class: own,
    crowd: false,
    difficult: false,
    area: side * side,
  }));
  return { key: `train/${id}.jpg`, file: `${id}.jpg`, path: `${id}.jpg`, width: 100, height: 100, boxes, id };
}

describe("pythonShuffledOrder", () => {
  // From Python 3.11: x = list(range(n)); random.Random(seed).shuffle(x)
  it.each([
    [3, [1, 5, 6, 0, 9, 4, 7, 2, 8, 3]],
    [30, [1, 5, 6, 10, 7, 11, 2, 3, 0, 9, 4, 8]],
    [300, [3, 6, 1, 0, 5, 2, 4]],
  ])("is Python's own for seed %i", (seed, order) => {
    expect(Array.from(pythonShuffledOrder(order.length, seed))).toEqual(order);
  });

  it("stays Python's over more draws than one state of the generator holds", () => {
    const order = Array.from(pythonShuffledOrder(1500, 300));
    expect(order.slice(0, 5)).toEqual([1447, 1346, 912, 425, 108]);
    expect(order.slice(-5)).toEqual([1004, 3, 705, 729, 1224]);
    expect(order.reduce((sum, value, i) => sum + (i + 1) * value, 0)).toBe(845735906);
  });
});

describe("fewShotSubset", () => {
  const images = Array.from({ length: 60 }, (_, i) => picture(i + 1, i % 10 === 0 ? [0, 2] : [i % 2]));

  it("equals GLIP's loop, written out", () => {
    for (const seed of odinwSeeds) {
      for (const shots of [1, 3, 5, 10]) {
        const left = [shots, shots, shots];
        const expected: number[] = [];
        for (const place of pythonShuffledOrder(60, seed)) {
          const classes = [...new Set(images[place].boxes.map((box) => box.class))];
          if (!classes.some((own) => left[own] > 0)) continue;
          expected.push(place + 1);
          for (const own of classes) left[own]--;
        }
        expect(fewShotSubset(images.toReversed(), shots, seed).map(({ id }) => id)).toEqual(expected);
      }
    }
  });

  it("has enough of each class, differs by seed, and leaves out pictures without a real box", () => {
    const subsets = odinwSeeds.map((seed) =>
      fewShotSubset([...images, picture(99, [1], 1), picture(100, [])], 3, seed),
    );
    for (const subset of subsets) {
      for (const own of [0, 1, 2]) {
        expect(subset.filter(({ boxes }) => boxes.some((box) => box.class === own)).length).toBeGreaterThanOrEqual(3);
      }
      expect(subset.map(({ id }) => id)).not.toContain(99);
      expect(subset.length).toBeLessThan(10);
    }
    expect(new Set(subsets.map((subset) => JSON.stringify(subset.map(({ id }) => id)))).size).toBe(3);
    expect(fewShotSubset(images, 1, 0).map(({ id }) => id)).toEqual([1, 2]); // unshuffled: the first of each class
    expect(fewShotSubset(images, 1, 3)).toEqual(fewShotSubset(images, 1, 3));
    expect(() => fewShotSubset(images, 0, 3)).toThrow("positive integer");
  });
});
