import { describe, expect, it } from "vitest";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { Rng } from "../../core/rng.ts";
import { HashIndex } from "./hash-index.ts";
import { defaultMatchRule, hashMatches, internalDuplicates, searchedPicture } from "./near-duplicates.ts";
import { hammingDistance, mirrored, pictureSignature, thumbnailDifference } from "./perceptual-hash.ts";

/** A smooth random picture: four by four colours, linearly blended. */
function blobs(seed: number, side = 32): RgbImage {
  const rng = new Rng(seed);
  const coarse = Array.from({ length: 5 * 5 * 3 }, () => rng.uniform(0, 240));
  const image = rgbImage(side, side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const [u, v] = [(x / side) * 4, (y / side) * 4];
      const [column, row] = [Math.floor(u), Math.floor(v)];
      for (let channel = 0; channel < 3; channel++) {
        const at = (r: number, c: number): number => coarse[(r * 5 + c) * 3 + channel];
        const top = at(row, column) * (1 - u + column) + at(row, column + 1) * (u - column);
        const bottom = at(row + 1, column) * (1 - u + column) + at(row + 1, column + 1) * (u - column);
        image.data[(y * side + x) * 3 + channel] = top * (1 - v + row) + bottom * (v - row);
      }
    }
  }
  return image;
}

function withNoise(image: RgbImage, amount: number): RgbImage {
  const rng = new Rng("noise");
  return {
    ...image,
    data: image.data.map((value) => Math.max(0, Math.min(255, value + rng.int(2 * amount) - amount))),
  };
}

function framed(image: RgbImage, border: number): RgbImage {
  const side = image.width + 2 * border;
  const frame = rgbImage(side, side, new Uint8Array(side * side * 3).fill(255));
  for (let y = 0; y < image.height; y++) {
    const row = image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3);
    frame.data.set(row, ((y + border) * side + border) * 3);
  }
  return frame;
}

describe("pictureSignature", () => {
  it("hardly changes with noise and size, and not with white borders", () => {
    const plain = pictureSignature(blobs(1));
    const noisy = pictureSignature(withNoise(blobs(1), 8));
    const large = pictureSignature(blobs(1, 96));
    const bordered = pictureSignature(framed(blobs(1), 7));
    expect(hammingDistance(plain.high, plain.low, noisy.high, noisy.low)).toBeLessThanOrEqual(6);
    expect(hammingDistance(plain.high, plain.low, large.high, large.low)).toBeLessThanOrEqual(4);
    expect(bordered).toEqual({ ...plain, onWhite: true });
    expect(thumbnailDifference(plain.thumbnail, noisy.thumbnail)).toBeLessThan(5);
  });

  it("sets a bit where a cell is brighter than its right neighbour", () => {
    const falling = rgbImage(
      9,
      8,
      Uint8Array.from({ length: 9 * 8 * 3 }, (_, i) => 200 - 20 * (Math.floor(i / 3) % 9)),
    );
    const { high, low } = pictureSignature(falling);
    expect([high, low]).toEqual([0xffffffff, 0xffffffff]);
    const rising = pictureSignature(mirrored(falling));
    expect([rising.high, rising.low]).toEqual([0, 0]);
  });
});

describe("HashIndex", () => {
  it("finds exactly what a full scan finds", () => {
    const rng = new Rng(3);
    const hashes = Array.from({ length: 300 }, () => ({ high: rng.uint32(), low: rng.uint32() }));
    for (let i = 0; i < 300; i++) {
      const copy = { ...hashes[i] };
      for (let flips = rng.int(16); flips > 0; flips--) {
        if (rng.int(2) === 0) copy.high = (copy.high ^ (1 << rng.int(32))) >>> 0;
        else copy.low = (copy.low ^ (1 << rng.int(32))) >>> 0;
      }
      hashes.push(copy);
    }
    for (const radius of [0, 1, 3, 7, 12]) {
      const index = new HashIndex(hashes, radius);
      for (const { high, low } of hashes.slice(0, 100)) {
        const scanned = hashes.flatMap((other, i) =>
          hammingDistance(high, low, other.high, other.low) <= radius ? [i] : [],
        );
        expect(index.within(high, low)).toEqual(scanned);
      }
    }
    expect(() => new HashIndex(hashes, 16)).toThrow(RangeError);
  });
});

describe("near-duplicates", () => {
  it("finds copies and mirrored copies, not other pictures", () => {
    const held = Array.from({ length: 40 }, (_, i) => pictureSignature(blobs(i)));
    const candidates = [withNoise(blobs(7), 8), mirrored(blobs(9)), blobs(100), blobs(101)].map(searchedPicture);
    const confirmed = [...hashMatches(candidates, held, defaultMatchRule)].filter((match) => match.confirmed);
    expect(confirmed.map((match) => [match.candidate, match.held, match.mirrored])).toEqual([
      [0, 7, false],
      [1, 9, true],
    ]);
  });

  it("does not take flat pictures of different colours for copies", () => {
    const flat = (value: number): RgbImage => rgbImage(16, 16, new Uint8Array(768).fill(value));
    const [match] = hashMatches([searchedPicture(flat(90))], [pictureSignature(flat(100))], defaultMatchRule);
    expect(match).toMatchObject({ difference: 10, confirmed: false });
  });

  it("drops later copies within a set only under equal texts", () => {
    const pictures = [blobs(1), blobs(2), blobs(1), blobs(1)].map(pictureSignature);
    const texts = ["cat", "dog", "tiger", "cat"];
    expect([...internalDuplicates(pictures, (a, b) => texts[a] === texts[b])]).toEqual([[3, 0]]);
  });
});
