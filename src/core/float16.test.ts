import { describe, expect, it } from "vitest";
import { decodeBfloat16, decodeFloat16, encodeFloat16 } from "./float16.ts";
import { Rng } from "./rng.ts";

/** The nearest half by exhaustive search over all finite halves, ties to the even pattern. */
function nearestHalf(value: number, table: Float32Array): number {
  let best = 0;
  for (let half = 0; half < 0x7c00; half++) {
    const distance = Math.abs(table[half] - Math.abs(value));
    const bestDistance = Math.abs(table[best] - Math.abs(value));
    if (distance < bestDistance || (distance === bestDistance && half % 2 === 0)) best = half;
  }
  return value < 0 ? best | 0x8000 : best;
}

describe("float16", () => {
  const everyPattern = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const values = decodeFloat16(everyPattern);

  it("decodes known patterns", () => {
    expect(values[0x3c00]).toBe(1);
    expect(values[0xc000]).toBe(-2);
    expect(values[0x7bff]).toBe(65504);
    expect(values[0x0001]).toBe(2 ** -24);
    expect(values[0x0400]).toBe(2 ** -14);
    expect(values[0x3555]).toBe(0.333251953125);
    expect(values[0x7c00]).toBe(Infinity);
    expect(values[0x7e00]).toBeNaN();
    expect(Object.is(values[0x8000], -0)).toBe(true);
  });

  it("encodes every finite half back to itself", () => {
    const back = encodeFloat16(values);
    const wrong = everyPattern.filter((pattern) => !Number.isNaN(values[pattern]) && back[pattern] !== pattern);
    expect([...wrong]).toEqual([]);
    expect(encodeFloat16(new Float32Array([Number.NaN]))[0] & 0x7fff).toBeGreaterThan(0x7c00);
  });

  it("rounds to nearest, ties to even, as an exhaustive search does", () => {
    const rng = new Rng(5);
    const samples = Float32Array.from({ length: 60 }, () => rng.normal() * 2 ** (rng.int(40) - 25));
    const ties = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -25, 3 * 2 ** -25, 2 ** -14 - 2 ** -25, 0.5 + 2 ** -12];
    const all = Float32Array.from([...samples, ...ties]).filter((value) => Math.abs(value) < 65504);
    const encoded = encodeFloat16(all);
    for (let i = 0; i < all.length; i++) expect(encoded[i], String(all[i])).toBe(nearestHalf(all[i], values));
  });

  it("overflows to infinity only past the halfway point", () => {
    expect([...encodeFloat16(Float32Array.of(65519.99, 65520, -1e9, Infinity))]).toEqual([
      0x7bff, 0x7c00, 0xfc00, 0x7c00,
    ]);
  });

  it("decodes bfloat16", () => {
    expect([...decodeBfloat16(Uint16Array.of(0x3f80, 0xc040, 0x4049))]).toEqual([1, -3, 3.140625]);
  });
});
