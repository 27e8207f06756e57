import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rgbImage } from "../core/image.ts";
import { Rng } from "../core/rng.ts";
import { PixelStore } from "../data/pixel-store.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { initialWeights, type Weights } from "../nn/module.ts";
import { type Episode, EpisodeTuner, florenceEpisodeRecipe } from "./episode-tuning.ts";

const architecture: TwoTowerConfig = {
  image: {
    kind: "vit",
    imageSize: 8,
    patch: 4,
    width: 16,
    heads: 2,
    layers: 1,
    mlpRatio: 2,
    activation: "gelu",
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
  },
  text: { kind: "sentence-encoder", vocabulary: 4, contextLength: 4, width: 8, heads: 2, layers: 1, hidden: 8 },
  embedding: 8,
};
const preprocessing = { size: 8, resize: "shorter-side", filter: "bicubic" } as const;
const recipe = { ...florenceEpisodeRecipe, epochs: 25, batch: 4, encoderRate: 0.01, headRate: 0.05, headMomentum: 0.9 };

let store: PixelStore;
let weights: Weights;
let tuner: EpisodeTuner;
beforeAll(async () => {
  weights = initialWeights(new TwoTower(architecture), 1);
  const images = Array.from({ length: 30 }, (_, i) => ({ key: `${i}`, labels: [i % 3], texts: [] }));
  const set = {
    name: "colours",
    fingerprint: "f",
    async decode({ key }: { key: string }) {
      const rng = new Rng(key);
      const level = 40 + 80 * (Number(key) % 3);
      return rgbImage(
        8,
        8,
        Uint8Array.from({ length: 192 }, () => level + rng.int(30)),
      );
    },
  };
  store = await PixelStore.open({ set, images, preprocessing });
  tuner = await EpisodeTuner.create({ architecture, preprocessing, weights }, 3, recipe);
});
afterAll(() => tuner.dispose());

const episode = (seed: number): Episode => ({
  store,
  support: Array.from({ length: 9 }, (_, row) => ({ row, label: row % 3 })),
  query: Array.from({ length: 21 }, (_, i) => 9 + i),
  seed,
});

describe("EpisodeTuner", () => {
  it("learns an episode, gives a distribution for each query, and starts each anew", async () => {
    const before = new Map([...weights].map(([name, data]) => [name, data.slice()]));
    const first = await tuner.run(episode(1));
    expect(first).toHaveLength(21 * 3);
    for (let i = 0; i < 21; i++) {
      const row = first.subarray(i * 3, i * 3 + 3);
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      expect(row.indexOf(Math.max(...row))).toBe(i % 3);
    }
    expect(weights).toEqual(before);
    const other = await tuner.run(episode(2));
    expect(other).not.toEqual(first);
    expect(await tuner.run(episode(1))).toEqual(first);
  });

  it("refuses rows, labels and pictures that do not fit", async () => {
    await expect(tuner.run({ ...episode(1), support: [] })).rejects.toMatchObject({ code: "bad-argument" });
    await expect(tuner.run({ ...episode(1), query: [30] })).rejects.toMatchObject({ code: "bad-argument" });
    await expect(tuner.run({ ...episode(1), support: [{ row: 0, label: 3 }] })).rejects.toMatchObject({
      code: "bad-argument",
    });
    await expect(EpisodeTuner.create({ architecture, preprocessing, weights }, 1)).rejects.toThrow("2 classes");
  });
});
