import { describe, expect, it } from "vitest";
import { fewShotSeeds, kShot } from "./k-shot.ts";
import type { LabelledImage } from "./labelled-set.ts";
import { splitByHash } from "./split-by-hash.ts";

function makeImages(perClass: readonly number[], prefix = ""): LabelledImage[] {
  return perClass.flatMap((count, label) =>
    Array.from({ length: count }, (_, i) => ({ key: `${prefix}${label}/${i}.jpg`, labels: [label], texts: [] })),
  );
}

describe("splitByHash", () => {
  it("divides each class by about the shares, completely and without overlap", () => {
    const images = makeImages([2000, 500, 300]);
    const parts = splitByHash(images, { val: 0.1, test: 0.2 }, 1);
    expect([...parts.keys()]).toEqual(["train", "val", "test"]);
    expect(
      [...parts.values()]
        .flat()
        .map(({ key }) => key)
        .sort(),
    ).toEqual(images.map(({ key }) => key).sort());
    for (const [label, count] of [2000, 500, 300].entries()) {
      const inTest = (parts.get("test") ?? []).filter(({ labels }) => labels[0] === label).length;
      const deviation = Math.sqrt(count * 0.2 * 0.8);
      expect(Math.abs(inTest - 0.2 * count)).toBeLessThan(4 * deviation);
    }
  });

  it("moves no image when others are added, and all when the seed changes", () => {
    const before = splitByHash(makeImages([100, 60]), { val: 0.2, test: 0.2 }, 7);
    const after = splitByHash(
      [...makeImages([40, 10, 9], "new"), ...makeImages([100, 60])],
      { val: 0.2, test: 0.2 },
      7,
    );
    for (const [split, images] of before) {
      const kept = (after.get(split) ?? []).filter(({ key }) => !key.startsWith("new"));
      expect(kept).toEqual(images);
    }
    const other = splitByHash(makeImages([100, 60]), { val: 0.2, test: 0.2 }, 8);
    expect(other.get("test")).not.toEqual(before.get("test"));
  });

  it("gives small classes a picture in every part, training first", () => {
    for (let seed = 0; seed < 20; seed++) {
      const parts = splitByHash(makeImages([1, 2, 3, 4]), { val: 0.1, test: 0.1 }, seed);
      const classesOf = (split: "train" | "val" | "test"): number[] =>
        [...new Set((parts.get(split) ?? []).flatMap(({ labels }) => labels))].sort();
      expect(classesOf("train")).toEqual([0, 1, 2, 3]);
      expect(classesOf("test")).toEqual([1, 2, 3]);
      expect(classesOf("val")).toEqual([2, 3]);
      expect([...parts.values()].flat()).toHaveLength(10);
    }
  });

  it("leaves out parts without a share and refuses impossible ones", () => {
    expect([...splitByHash(makeImages([5]), {}, 1).keys()]).toEqual(["train"]);
    expect(() => splitByHash([], { val: 0.5, test: 0.5 }, 1)).toThrow(/sum to less than 1, got val 0.5, test 0.5/);
    expect(() => splitByHash([], { test: Number.NaN }, 1)).toThrow(/got val 0, test NaN/);
  });
});

describe("kShot", () => {
  it("draws k a class, other ones for each seed, and reports classes with fewer", () => {
    const images = makeImages([50, 3, 20]);
    const draws = fewShotSeeds.map((seed) => kShot(images, 5, seed, 4));
    for (const { images: drawn, shortClasses } of draws) {
      const counts = [0, 1, 2].map((label) => drawn.filter(({ labels }) => labels[0] === label).length);
      expect(counts).toEqual([5, 3, 5]);
      expect(shortClasses).toEqual([
        { label: 1, count: 3 },
        { label: 3, count: 0 },
      ]);
      expect(new Set(drawn.map(({ key }) => key)).size).toBe(13);
    }
    expect(new Set(draws.map(({ images: drawn }) => JSON.stringify(drawn))).size).toBe(3);
    expect(kShot([...images].reverse(), 5, 3).images).toHaveLength(13);
    expect(new Set(kShot([...images].reverse(), 5, 3).images)).toEqual(new Set(draws[0].images));
  });

  it("nests: fewer shots of a seed are part of more", () => {
    const images = makeImages([30, 30]);
    const three = new Set(kShot(images, 3, 30).images);
    expect(kShot(images, 1, 30).images.every((image) => three.has(image))).toBe(true);
  });

  it("counts a picture for all its classes", () => {
    const images: LabelledImage[] = Array.from({ length: 40 }, (_, i) => ({
      key: `${i}`,
      labels: i % 10 === 0 ? [0, 1] : [0],
      texts: [],
    }));
    const { images: drawn, shortClasses } = kShot(images, 2, 3);
    const withOne = drawn.filter(({ labels }) => labels.includes(1));
    expect(withOne).toHaveLength(2);
    expect(drawn.length).toBeLessThanOrEqual(4);
    expect(drawn.length).toBeGreaterThanOrEqual(2);
    expect(shortClasses).toEqual([]);
    expect(() => kShot(images, 0, 3)).toThrow(/k must be a positive whole number, got 0/);
  });
});
