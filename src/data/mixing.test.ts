import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { mixBatch } from "./mixing.ts";

const [batch, size, classes] = [4, 6, 4];

/** Picture b is grey 60·b all over and belongs to class b, so that shares can be read off the bytes. */
function greys() {
  const pixels = Uint8Array.from({ length: batch * size * size * 3 }, (_, i) => 60 * Math.floor(i / (size * size * 3)));
  const targets = Float32Array.from({ length: batch * classes }, (_, i) => (i % (classes + 1) === 0 ? 1 : 0));
  return { pixels, targets, size, batch };
}

const pictureOf = ({ pixels }: { pixels: Uint8Array }, b: number) =>
  pixels.subarray(b * size * size * 3, (b + 1) * size * size * 3);

describe("mixBatch", () => {
  it.each([
    ["mixup", { mixup: 0.8, cutmix: 0 }],
    ["cutmix", { mixup: 0, cutmix: 1 }],
    ["both", { mixup: 0.8, cutmix: 1 }],
  ])("%s: targets hold each picture's share of the pixels", (_name, config) => {
    const shares = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const data = greys();
      mixBatch(data, config, new Rng(seed));
      for (let b = 0; b < batch; b++) {
        const row = data.targets.subarray(b * classes, (b + 1) * classes);
        const expected = row.reduce((total, share, k) => total + share * 60 * k, 0);
        const mean = pictureOf(data, b).reduce((total, value) => total + value, 0) / (size * size * 3);
        expect(Math.abs(mean - expected)).toBeLessThanOrEqual(0.51);
        expect(row.reduce((total, share) => total + share, 0)).toBeCloseTo(1, 5);
        expect(row[b] + row[batch - 1 - b]).toBeCloseTo(1, 5);
        shares.add(row[b]);
      }
    }
    expect(shares.size).toBeGreaterThan(5);
  });

  it("cutmix leaves whole bytes of the one or the other; equal seeds give equal batches", () => {
    const [one, two] = [greys(), greys()];
    mixBatch(one, { mixup: 0, cutmix: 1 }, new Rng(3));
    mixBatch(two, { mixup: 0, cutmix: 1 }, new Rng(3));
    expect(one).toEqual(two);
    expect(new Set(pictureOf(one, 1))).toEqual(new Set([60, 120]));
  });

  it("does nothing when both are off", () => {
    const data = greys();
    mixBatch(data, { mixup: 0, cutmix: 0 }, new Rng(1));
    expect(data).toEqual(greys());
  });

  it("draws proportions of Beta(α, α): mean a half, variance 1 / (4·(2α + 1))", () => {
    const rng = new Rng(9);
    const draws = Array.from({ length: 20_000 }, () => {
      const data = { pixels: new Uint8Array(2 * 3), targets: Float32Array.of(1, 0, 0, 1), size: 1, batch: 2 };
      mixBatch(data, { mixup: 0.4, cutmix: 0 }, rng);
      return data.targets[0];
    });
    const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
    const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / draws.length;
    expect(mean).toBeCloseTo(0.5, 1.7);
    expect(variance).toBeCloseTo(1 / (4 * 1.8), 2);
  });
});
