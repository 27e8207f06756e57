import { describe, expect, it } from "vitest";
import { UserError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import { sampleEpisodes } from "./episodes.ts";
import { evaluateFewShot } from "./few-shot.ts";
import { prototypeClassifier } from "./prototypes.ts";

const labels = Array.from({ length: 200 }, (_, i) => i % 8); // 25 a class

describe("sampleEpisodes", () => {
  it("draws classes and rows without replacement, queries apart from shots", () => {
    const episodes = sampleEpisodes(labels, { shots: 5, episodes: 50 });
    expect(episodes).toHaveLength(50);
    for (const { classes, support, query } of episodes) {
      expect(new Set(classes).size).toBe(5);
      expect(support).toHaveLength(25);
      expect(query).toHaveLength(75);
      expect(new Set([...support, ...query]).size).toBe(100);
      support.forEach((row, i) => {
        expect(labels[row]).toBe(classes[Math.floor(i / 5)]);
      });
      query.forEach((row, i) => {
        expect(labels[row]).toBe(classes[Math.floor(i / 15)]);
      });
    }
    expect(new Set(episodes.map(({ classes }) => classes.join())).size).toBeGreaterThan(40);
  });

  it("gives the same episode for the same seed and number", () => {
    const few = sampleEpisodes(labels, { shots: 5, episodes: 3 });
    expect(sampleEpisodes(labels, { shots: 5, episodes: 9 }).slice(0, 3)).toEqual(few);
    expect(sampleEpisodes(labels, { shots: 5, episodes: 3, seed: 11 })).not.toEqual(few);
  });

  it("leaves small classes out, and refuses when too few are left", () => {
    const uneven = [...labels, 8, 8, 8];
    const seen = sampleEpisodes(uneven, { shots: 5, episodes: 60 }).flatMap(({ classes }) => classes);
    expect(new Set(seen)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]));
    expect(() => sampleEpisodes(labels, { shots: 20 })).toThrow("5 classes need 35 examples each, got 0 of 8");
    expect(() => sampleEpisodes(labels, { shots: 20 })).toThrow(UserError);
  });
});

describe("prototypeClassifier", () => {
  it("is the nearest mean", () => {
    const features = Float32Array.of(0, 0, 2, 0, 10, 1, 10, 3);
    const { weights, bias } = prototypeClassifier({ features, dim: 2 }, [0, 0, 1, 1], 3);
    expect([...weights]).toEqual([2, 0, 20, 4, 0, 0]); // twice the means (1, 0) and (10, 2)
    expect([...bias]).toEqual([-1, -104, Number.NEGATIVE_INFINITY]);
  });
});

describe("evaluateFewShot", () => {
  const dim = 12;
  const rng = new Rng(4);
  const centres = Float32Array.from({ length: 8 * dim }, () => rng.normal());
  const features = Float32Array.from(
    { length: labels.length * dim },
    (_, i) => centres[labels[Math.floor(i / dim)] * dim + (i % dim)] + 1.2 * rng.normal(),
  );
  const options = { shots: 5, episodes: 40 };

  it.each(["logistic", "prototype"] as const)("is far above chance on separable classes: %s", async (head) => {
    const { accuracies, mean, interval, chance } = await evaluateFewShot({ features, dim }, labels, {
      ...options,
      head,
    });
    expect(accuracies).toHaveLength(40);
    expect(chance).toBe(0.2);
    expect(mean).toBeGreaterThan(0.65);
    const deviation = Math.sqrt(accuracies.reduce((sum, a) => sum + (a - mean) ** 2, 0) / 40);
    expect(interval[1] - mean).toBeCloseTo((1.96 * deviation) / Math.sqrt(40), 4);
  });

  it("is at chance where features say nothing", async () => {
    const noise = features.map(() => rng.normal());
    const { interval } = await evaluateFewShot({ features: noise, dim }, labels, { ...options, head: "prototype" });
    expect(interval[0]).toBeLessThan(0.21);
    expect(interval[1]).toBeGreaterThan(0.19);
  });

  it("goes on where it was stopped, and stops when asked to", async () => {
    const controller = new AbortController();
    const done: number[] = [];
    const onProgress = (count: number, accuracy: number) => {
      done.push(accuracy);
      if (count === 10) controller.abort(new Error("enough"));
    };
    const stopped = evaluateFewShot({ features, dim }, labels, { ...options, signal: controller.signal, onProgress });
    await expect(stopped).rejects.toThrow("enough");
    expect(done).toHaveLength(10);
    const resumed = await evaluateFewShot({ features, dim }, labels, { ...options, known: done });
    expect(resumed).toEqual(await evaluateFewShot({ features, dim }, labels, options));
  });
});
