import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { type ResamplingFilter, type ResizeBox, resize, resizeBicubic } from "./resize.ts";
import { centerCrop, normaliseInto, preprocess, resizeShorterSide } from "./transforms.ts";

interface FixtureCase {
  width: number;
  height: number;
  outWidth: number;
  outHeight: number;
  sha256: string;
  pixels?: string;
}

interface Fixture {
  resizes: (FixtureCase & { filter: ResamplingFilter; box?: ResizeBox })[];
  transforms: (FixtureCase & { filter: "bicubic" | "bilinear"; size: number })[];
  crops: (FixtureCase & { size: number })[];
}

type DrawnCase = [width: number, height: number, toWidth: number, toHeight: number, ResamplingFilter, sha256: string];

const readFixture = (name: string) => readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), "utf8");
const fixture: Fixture = JSON.parse(readFixture("pillow-resize.json"));
const drawn: DrawnCase[] = JSON.parse(readFixture("pillow-resize-many.json")).cases;

/** The source picture of scripts/fixtures/pillow_resize.py. */
function source(width: number, height: number): RgbImage {
  const image = rgbImage(width, height);
  for (let i = 0; i < image.data.length; i++) image.data[i] = Math.imul(i, 2654435761) >>> 24;
  for (let y = 0; y < Math.floor(height / 3); y++) {
    for (let x = 0; x < Math.floor(width / 2); x++) image.data.set([255, 0, 128], (y * width + x) * 3);
  }
  return image;
}

function expectEqual(image: RgbImage, expected: FixtureCase): void {
  expect([image.width, image.height]).toEqual([expected.outWidth, expected.outHeight]);
  if (expected.pixels) expect([...image.data]).toEqual([...Buffer.from(expected.pixels, "base64")]);
  expect(createHash("sha256").update(image.data).digest("hex")).toBe(expected.sha256);
}

describe("resize equals Pillow bit for bit", () => {
  it.each(fixture.resizes)("$filter $width×$height → $outWidth×$outHeight $box", (expected) => {
    const { width, height, outWidth, outHeight, filter, box } = expected;
    expectEqual(resize(source(width, height), outWidth, outHeight, filter, { box }), expected);
  });

  it("for 240 drawn pairs of sizes, each with four filters", { timeout: 60_000 }, () => {
    expect(drawn.length).toBe(960);
    const sizes = new Set(drawn.map(([...row]) => row.slice(0, 4).join()));
    expect(sizes.size).toBeGreaterThan(230);
    expect(drawn.filter((row) => row.slice(0, 4).includes(1)).length).toBeGreaterThan(300); // sides of one pixel
    expect(
      drawn.filter(([width, height, toWidth, toHeight]) => toWidth * toHeight > width * height).length,
    ).toBeGreaterThan(200);
    let picture = source(1, 1);
    const other = drawn.filter(([width, height, toWidth, toHeight, filter, digits]) => {
      if (picture.width !== width || picture.height !== height) picture = source(width, height);
      const { data } = resize(picture, toWidth, toHeight, filter);
      return !createHash("sha256").update(data).digest("hex").startsWith(digits);
    });
    expect(other).toEqual([]);
  });

  it("returns a copy, not the same buffer, when nothing changes", () => {
    const image = source(8, 8);
    const copy = resizeBicubic(image, 8, 8);
    expect(copy.data).toEqual(image.data);
    expect(copy.data).not.toBe(image.data);
  });

  it("computes a window of the target as a crop of the whole", () => {
    const image = source(50, 37);
    for (const [width, height] of [
      [20, 30],
      [90, 37],
      [50, 80],
      [50, 37],
    ]) {
      const whole = resize(image, width, height, "bicubic");
      const part = resize(image, width, height, "bicubic", { window: [3, 5, 11, 20] });
      for (let y = 0; y < 20; y++) {
        const start = ((y + 5) * width + 3) * 3;
        expect(part.data.subarray(y * 33, y * 33 + 33)).toEqual(whole.data.subarray(start, start + 33));
      }
    }
  });

  it("refuses empty targets and boxes outside the image", () => {
    expect(() => resize(source(8, 8), 0, 4, "bicubic")).toThrow(/positive integers/);
    expect(() => resize(source(8, 8), 4, 4, "bicubic", { box: [0, 0, 9, 8] })).toThrow(/box must lie within 8×8/);
    expect(() => resize(source(8, 8), 4, 4, "bicubic", { box: [4, 4, 4, 8] })).toThrow(/box/);
  });
});

describe("transforms equal torchvision", () => {
  it.each(fixture.transforms)("Resize($size, $filter) + CenterCrop of $width×$height", (expected) => {
    const { width, height, size, filter } = expected;
    const image = source(width, height);
    expectEqual(centerCrop(resizeShorterSide(image, size, filter), size), expected);
    const config = { size, resize: "shorter-side", filter, mean: [0, 0, 0], std: [1, 1, 1] } as const;
    expectEqual({ width: size, height: size, data: preprocess(image, config) }, expected);
  });

  it.each(fixture.crops)("CenterCrop($size) of $width×$height", (expected) => {
    expectEqual(centerCrop(source(expected.width, expected.height), expected.size), expected);
  });

  it("preprocesses extreme shapes without making the whole resized image", () => {
    const config = { size: 224, resize: "shorter-side", filter: "bicubic", mean: [0, 0, 0], std: [1, 1, 1] } as const;
    expect(preprocess(rgbImage(60_000, 1, new Uint8Array(180_000).fill(9)), config).every((value) => value === 9)).toBe(
      true,
    );
    expect(preprocess(rgbImage(1, 60_000, new Uint8Array(180_000).fill(9)), config).every((value) => value === 9)).toBe(
      true,
    );
  });

  it("cuts the centre out of a larger picture where one is asked for", () => {
    const image = source(60, 41);
    const config = { size: 16, resize: "shorter-side", resizeTo: 19, filter: "bicubic" } as const;
    const expected = centerCrop(resizeShorterSide(image, 19, "bicubic"), 16);
    expect(preprocess(image, config)).toEqual(expected.data);
  });

  it("squashes without keeping the aspect", () => {
    const config = { size: 16, resize: "squash", filter: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] } as const;
    expect(preprocess(source(40, 20), config)).toEqual(resize(source(40, 20), 16, 16, "bilinear").data);
  });

  it("normalises into both layouts", () => {
    const pixels = Uint8Array.of(0, 51, 255, 102, 204, 0);
    const statistics = { mean: [0.5, 0.2, 0.4], std: [0.25, 0.5, 0.2] } as const;
    const expected = [-2, 0, 3, -0.4, 1.2, -2];
    const interleaved = new Float32Array(7);
    normaliseInto(pixels, statistics, interleaved, 1, "interleaved");
    for (const [i, value] of expected.entries()) expect(interleaved[i + 1]).toBeCloseTo(value, 5);
    const planar = new Float32Array(6);
    normaliseInto(pixels, statistics, planar, 0, "planar");
    for (const [i, value] of [-2, -0.4, 0, 1.2, 3, -2].entries()) expect(planar[i]).toBeCloseTo(value, 5);
    expect(() => normaliseInto(pixels, statistics, planar, 1, "planar")).toThrow(/must hold 6 values/);
  });
});
