import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { type AugmentConfig, augmentInto } from "./augment.ts";

/** A random smooth-free picture, [size, size, 3]. */
function noise(height: number, width: number, seed = 1): Uint8Array {
  const rng = new Rng(seed);
  return Uint8Array.from({ length: height * width * 3 }, () => rng.int(256));
}

function augment(source: Uint8Array, height: number, width: number, size: number, config: AugmentConfig, seed = 1) {
  const target = new Uint8Array(size * size * 3);
  augmentInto(source, 0, height, width, target, 0, size, config, new Rng(seed));
  return target;
}

const everything: AugmentConfig = {
  crop: { scale: [0.3, 1] },
  flip: 0.5,
  shift: 2,
  sharpen: 2,
  brightness: 0.4,
  contrast: 0.4,
  saturation: 0.4,
  greyscale: 0.1,
  erase: { probability: 0.25, area: [0.02, 0.2] },
};

describe("augmentInto", () => {
  it("copies an image of the target's size when asked for nothing", () => {
    const source = noise(32, 32);
    expect(augment(source, 32, 32, 32, {})).toEqual(source);
  });

  it("mirrors exactly with flip 1", () => {
    const source = noise(8, 8);
    const flipped = augment(source, 8, 8, 8, { flip: 1 });
    for (let y = 0; y < 8; y++) {
      for (let i = 0; i < 24; i++) {
        const mirrored = (y * 8 + 7 - Math.floor(i / 3)) * 3 + (i % 3);
        expect(flipped[y * 24 + i]).toBe(source[mirrored]);
      }
    }
  });

  it("shifts by whole pixels and repeats the edge", () => {
    const source = Uint8Array.from({ length: 10 * 10 * 3 }, (_, i) => 20 * (Math.floor(i / 3) % 10)); // value = 20·x
    const seen = new Set<number>();
    for (let seed = 0; seed < 60; seed++) {
      const view = augment(source, 10, 10, 10, { shift: 2 }, seed);
      const shift = view[5 * 3] / 20 - 5;
      seen.add(shift);
      for (let x = 0; x < 10; x++) expect(view[x * 3]).toBe(20 * Math.min(9, Math.max(0, x + shift)));
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });

  it("averages when it shrinks: as PyTorch's antialiased triangle does in the interior", () => {
    const source = noise(64, 64);
    const half = augment(source, 64, 64, 32, {});
    const triangle = [1 / 8, 3 / 8, 3 / 8, 1 / 8]; // factor 2: offsets −1.5, −0.5, 0.5, 1.5 of a triangle of half-width 2
    for (const [x, y] of [
      [5, 9],
      [20, 3],
      [30, 30],
    ]) {
      let sum = 0;
      for (let dy = 0; dy < 4; dy++) {
        for (let dx = 0; dx < 4; dx++) {
          sum += triangle[dy] * triangle[dx] * source[((2 * y - 1 + dy) * 64 + 2 * x - 1 + dx) * 3];
        }
      }
      expect(Math.abs(half[(y * 32 + x) * 3] - sum)).toBeLessThanOrEqual(0.5001);
    }
  });

  it("sharpens by an unsharp mask of a binomial 3×3 mean, edges repeated", () => {
    const size = 9;
    const source = noise(size, size).map((value) => 100 + (value >> 3)); // stays within bytes when sharpened
    const sharpened = augment(source, size, size, size, { sharpen: 1.5 }, 4);
    const amount = new Rng(4).uniform(0, 1.5);
    const at = (y: number, x: number, c: number) =>
      source[(Math.min(size - 1, Math.max(0, y)) * size + Math.min(size - 1, Math.max(0, x))) * 3 + c];
    for (let i = 0; i < source.length; i++) {
      const [y, x, c] = [Math.floor(i / 27), Math.floor(i / 3) % 9, i % 3];
      let mean = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) mean += ((2 - Math.abs(dy)) * (2 - Math.abs(dx)) * at(y + dy, x + dx, c)) / 16;
      }
      expect(Math.abs(sharpened[i] - (source[i] + amount * (source[i] - mean)))).toBeLessThanOrEqual(0.501);
    }
  });

  it("keeps a constant image constant for every geometry", () => {
    for (let seed = 0; seed < 50; seed++) {
      const view = augment(
        new Uint8Array(40 * 56 * 3).fill(123),
        40,
        56,
        24,
        { crop: { scale: [0.1, 1] }, shift: 3, flip: 0.5 },
        seed,
      );
      expect(view.every((value) => value === 123)).toBe(true);
    }
  });

  it("crops boxes of the asked area and aspect, inside the image", () => {
    // x and y are encoded in red and green, so that a view tells where it was taken.
    const size = 64;
    const source = new Uint8Array(size * size * 3);
    for (let i = 0; i < size * size; i++) source.set([(i % size) * 4, Math.floor(i / size) * 4, 0], i * 3);
    for (let seed = 0; seed < 40; seed++) {
      const view = augment(source, size, size, 16, { crop: { scale: [0.25, 0.5] } }, seed);
      const width = ((view[(8 * 16 + 12) * 3] - view[(8 * 16 + 4) * 3]) / 4) * 2;
      const height = ((view[(12 * 16 + 8) * 3 + 1] - view[(4 * 16 + 8) * 3 + 1]) / 4) * 2;
      expect(width * height).toBeGreaterThan(0.25 * size * size * 0.93);
      expect(width * height).toBeLessThan(0.5 * size * size * 1.07);
      expect(width / height).toBeGreaterThan(0.7);
      expect(width / height).toBeLessThan(1.42);
    }
  });

  it("makes greys with saturation off, and scales brightness", () => {
    const grey = augment(noise(16, 16), 16, 16, 16, { greyscale: 1 });
    for (let i = 0; i < grey.length; i += 3) expect(grey[i] === grey[i + 1] && grey[i] === grey[i + 2]).toBe(true);
    const means = Array.from({ length: 200 }, (_, seed) => {
      return augment(new Uint8Array(48).fill(100), 4, 4, 4, { brightness: 0.4 }, seed)[0];
    });
    expect(Math.min(...means)).toBeGreaterThanOrEqual(60);
    expect(Math.max(...means)).toBeLessThanOrEqual(140);
    expect(Math.max(...means) - Math.min(...means)).toBeGreaterThan(70);
  });

  it("contrast leaves the mean grey alone", () => {
    const source = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => 90 + (Math.floor(i / 3) % 2) * 40);
    const view = augment(source, 16, 16, 16, { contrast: 0.5 }, 3);
    expect(view).not.toEqual(source);
    expect(view.reduce((sum, value) => sum + value, 0) / view.length).toBeCloseTo(110, 0);
  });

  it("erases a box of about the asked area and nothing else", () => {
    const source = new Uint8Array(32 * 32 * 3).fill(77);
    const view = augment(source, 32, 32, 32, { erase: { probability: 1, area: [0.1, 0.1] } }, 9);
    const changed = [...Array(1024).keys()].filter((i) => view[i * 3] !== 77 || view[i * 3 + 1] !== 77).length;
    expect(changed).toBeGreaterThan(80);
    expect(changed).toBeLessThan(130);
  });

  it("is a function of the generator's state, and writes only its slot", () => {
    const source = noise(32, 32);
    const batch = new Uint8Array(3 * 3072).fill(1);
    augmentInto(source, 0, 32, 32, batch, 3072, 32, everything, new Rng("a"));
    expect(batch.subarray(0, 3072).every((value) => value === 1)).toBe(true);
    expect(batch.subarray(6144).every((value) => value === 1)).toBe(true);
    const again = new Uint8Array(3072);
    augmentInto(source, 0, 32, 32, again, 0, 32, everything, new Rng("a"));
    expect(again).toEqual(batch.slice(3072, 6144));
    augmentInto(source, 0, 32, 32, again, 0, 32, everything, new Rng("b"));
    expect(again).not.toEqual(batch.slice(3072, 6144));
    expect(() => augmentInto(source, 1, 32, 32, again, 0, 32, {}, new Rng(1))).toThrow(/must fit/);
  });
});
