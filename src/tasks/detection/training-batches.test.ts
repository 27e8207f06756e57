import { describe, expect, it } from "vitest";
import { rgbImage } from "../../core/image.ts";
import type { PictureSource } from "../../data/detection/picture-store.ts";
import { detectionAugmentations } from "./detection-recipe.ts";
import { TrainingBatches, type TrainingBatchesOptions } from "./training-batches.ts";

/** Pictures of one grey each, `first`, `first` + 1, …, with one box of class 0 each. */
function greys(count: number, first: number): PictureSource {
  return {
    count,
    picture(index) {
      const image = rgbImage(32, 24);
      image.data.fill(first + index);
      return { image, boxes: [{ box: [4, 6, 20, 18], class: 0, ignored: index === 1 }] };
    },
  };
}

const plain = { batch: 4, side: 32, augmentation: {}, seed: 5 } as const;

/** The grey in the middle of each picture of a batch. */
function greysOf(batches: TrainingBatches, step: number, side = 32): number[] {
  const { pixels, objects } = batches.at(step);
  return objects.map((_, slot) => pixels[3 * (slot * side * side + (side / 2) * side + side / 2)]);
}

describe("TrainingBatches", () => {
  it("goes through all pictures before it repeats one, in a new order each time", () => {
    const batches = new TrainingBatches({ ...plain, sources: [{ pictures: greys(8, 100) }] });
    const passes = [0, 2, 4].map((first) => [...greysOf(batches, first), ...greysOf(batches, first + 1)]);
    for (const pass of passes) {
      expect(pass.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 8 }, (_, i) => 100 + i));
    }
    expect(passes[0]).not.toEqual(passes[1]);
  });

  it("is a pure function of seed and step, whatever was asked for before", () => {
    const options: TrainingBatchesOptions = {
      ...plain,
      augmentation: detectionAugmentations.medium,
      sources: [{ pictures: greys(5, 60) }, { pictures: greys(9, 150) }],
    };
    const one = new TrainingBatches(options);
    for (let step = 0; step < 20; step++) one.at(step);
    const late = new TrainingBatches(options).at(17);
    expect(one.at(17)).toEqual(late);
    expect(new TrainingBatches({ ...options, seed: 6 }).at(17)).not.toEqual(late);
  });

  it("draws from several sources by weight, with the classes of the detector", () => {
    const batches = new TrainingBatches({
      ...plain,
      sources: [
        { pictures: greys(6, 10), weight: 3, classes: [2] },
        { pictures: greys(6, 200), weight: 1, classes: [7] },
      ],
    });
    let fromFirst = 0;
    for (let step = 0; step < 100; step++) {
      for (const grey of greysOf(batches, step)) fromFirst += grey < 100 ? 1 : 0;
      for (const { classes } of batches.at(step).objects) for (const id of classes) expect([2, 7]).toContain(id);
    }
    expect(fromFirst / 400).toBeGreaterThan(0.67);
    expect(fromFirst / 400).toBeLessThan(0.83);
  });

  it("places boxes with their pictures, and keeps ignored ones apart", () => {
    const batches = new TrainingBatches({ ...plain, batch: 8, sources: [{ pictures: greys(8, 100) }] });
    const { pixels, objects } = batches.at(0);
    for (const [slot, { boxesXyxy, classes, ignoredXyxy }] of objects.entries()) {
      const isIgnored = pixels[3 * (slot * 32 * 32 + 16 * 32 + 16)] === 101;
      expect(classes.length).toBe(isIgnored ? 0 : 1);
      // 32×24 in a square of 32: not scaled, at a random height.
      const box = isIgnored ? (ignoredXyxy as Float32Array) : boxesXyxy;
      expect([box[0], box[2], box[3] - box[1]]).toEqual([4, 20, 12]);
      const top = box[1] - 6;
      expect(pixels[3 * (slot * 32 * 32 + (top + 1) * 32)]).not.toBe(114);
    }
  });

  it("ends mosaics where it is told to", () => {
    const sources = [{ pictures: greys(8, 100) }];
    const augmentation = { mosaic: 1 };
    const batches = new TrainingBatches({ ...plain, augmentation, sources, mosaicUntil: 1 });
    const most = (step: number) => Math.max(...batches.at(step).objects.map(({ classes }) => classes.length));
    expect(most(0)).toBeGreaterThan(1);
    expect(most(1)).toBe(1);
  });

  it("refuses to draw from nothing", () => {
    expect(() => new TrainingBatches({ ...plain, sources: [{ pictures: greys(0, 0) }] })).toThrow("got none");
  });
});
