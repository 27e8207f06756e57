import { describe, expect, it } from "vitest";
import type { Box } from "../../core/boxes.ts";
import { rgbImage } from "../../core/image.ts";
import { Rng } from "../../core/rng.ts";
import { augmentBoxes, cropAroundBox, cropPicture, flipHorizontally, jitterScale } from "./augment-boxes.ts";
import { type BoxedPicture, type PictureBox, restoreBox } from "./boxed-picture.ts";
import { copyPaste, cutObjects } from "./copy-paste.ts";
import { mosaic } from "./mosaic.ts";
import { letterbox, resizeShorterSide } from "./resize-boxes.ts";

/** Saturated colours that no mixture with black or grey reaches: class c is told from pixels by its colour. */
const colours = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [255, 255, 0],
  [255, 0, 255],
  [0, 255, 255],
];

/** A black picture with one rectangle a class, which do not overlap. */
function drawn(width: number, height: number, boxes: readonly Box[], firstClass = 0): BoxedPicture {
  const image = rgbImage(width, height);
  const labels = boxes.map((box, i): PictureBox => {
    const [x0, y0, x1, y1] = box;
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) image.data.set(colours[firstClass + i], (y * width + x) * 3);
    }
    return { box, class: firstClass + i, ignored: false };
  });
  return { image, boxes: labels };
}

/** Where a class's colour is to be seen; undefined for nowhere. */
function seen({ image: { width, data } }: BoxedPicture, ofClass: number): Box | undefined {
  const wanted = colours[ofClass].map((value) => value > 0);
  let [x0, y0, x1, y1] = [width, Number.POSITIVE_INFINITY, -1, -1];
  for (let i = 0; i < data.length / 3; i++) {
    const isWanted = (c: number) => (wanted[c] ? data[i * 3 + c] > 150 : data[i * 3 + c] < 70);
    if (!isWanted(0) || !isWanted(1) || !isWanted(2)) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
  }
  return x1 < 0 ? undefined : [x0, y0, x1, y1];
}

function bytesOf({ image }: BoxedPicture): Buffer {
  return Buffer.from(image.data);
}

/** Every box must bound its colour, to the pixel that interpolation blurs. */
function expectTracked(picture: BoxedPicture, tolerance: number): void {
  for (const { box, class: own } of picture.boxes) {
    const found = seen(picture, own);
    expect(found, `class ${own} at [${box.join(", ")}]`).toBeDefined();
    for (const k of [0, 1, 2, 3] as const) expect(Math.abs((found as Box)[k] - box[k])).toBeLessThanOrEqual(tolerance);
  }
}

const four = () =>
  drawn(120, 80, [
    [5, 6, 45, 30],
    [60, 4, 110, 34],
    [8, 45, 38, 75],
    [70, 50, 118, 78],
  ]);

describe("letterbox and resizing", () => {
  it.each([
    [200, 200, "centre"],
    [64, 96, "centre"],
    [300, 100, "top-left"],
  ] as const)("into %i×%i, %s: boxes stay on their objects, and come back to the original", (width, height, align) => {
    const source = four();
    const placed = letterbox(source, width, height, { align });
    expect([placed.image.width, placed.image.height, placed.boxes.length]).toEqual([width, height, 4]);
    expectTracked(placed, 1);
    for (const [i, { box }] of placed.boxes.entries()) {
      const back = restoreBox(box, placed.placement, source.image);
      for (const k of [0, 1, 2, 3]) expect(back[k]).toBeCloseTo(source.boxes[i].box[k], 9);
    }
  });

  it("fills with grey only where no picture is", () => {
    const { image, placement } = letterbox(drawn(40, 20, []), 40, 40, { grey: 200 });
    expect(placement).toEqual({ scaleX: 1, scaleY: 1, left: 0, top: 10 });
    const rows = Array.from({ length: 40 }, (_, y) => image.data[y * 40 * 3]);
    expect(rows).toEqual([...Array(10).fill(200), ...Array(20).fill(0), ...Array(10).fill(200)]);
  });

  it("keeps the shorter side, unless the longer one grows over its limit", () => {
    const wide = resizeShorterSide(four(), { shorter: 160, longest: 1000 });
    expect([wide.image.width, wide.image.height]).toEqual([240, 160]);
    expectTracked(wide, 1);
    const held = resizeShorterSide(four(), { shorter: 160, longest: 180 });
    expect([held.image.width, held.image.height]).toEqual([180, 120]);
  });
});

describe("augmentation", () => {
  it("flips exactly, and twice is nothing", () => {
    const source = four();
    const flipped = flipHorizontally(source);
    expectTracked(flipped, 0);
    const twice = flipHorizontally(flipped);
    expect([bytesOf(twice).equals(bytesOf(source)), twice.boxes]).toEqual([true, source.boxes]);
  });

  it("crops exactly, cuts boxes, and drops those of which little is left", () => {
    const cropped = cropPicture(four(), [20, 0, 70, 50]);
    expect(cropped.boxes.map(({ class: own, box }) => [own, box])).toEqual([[0, [0, 6, 25, 30]]]); // 1: 20 %, 2: 10 %
    expectTracked(cropped, 0);
    expect(() => cropPicture(four(), [0, 0, 130, 50])).toThrow("whole pixels of 120×80");
  });

  it("crops around a box that stays whole", () => {
    const rng = new Rng("crop");
    for (let round = 0; round < 40; round++) {
      const cropped = cropAroundBox(four(), rng);
      expectTracked(cropped, 0);
      const isWhole = cropped.boxes.some(({ box, class: own }) => {
        const [x0, y0, x1, y1] = four().boxes[own].box;
        return box[2] - box[0] === x1 - x0 && box[3] - box[1] === y1 - y0;
      });
      expect(isWhole).toBe(true);
    }
  });

  it("scales up and down into the same canvas", () => {
    const rng = new Rng("scale");
    const sizes: number[] = [];
    for (let round = 0; round < 40; round++) {
      const scaled = jitterScale(four(), { width: 96, height: 96, range: [0.5, 2] }, rng);
      expect([scaled.image.width, scaled.image.height]).toEqual([96, 96]);
      expectTracked(scaled, 1);
      sizes.push(scaled.boxes.length);
    }
    expect(Math.min(...sizes)).toBeLessThan(4); // some scales cut objects off
    expect(Math.max(...sizes)).toBe(4);
  });

  it("is the same for the same seed, and another for another", () => {
    const config = { flip: 0.5, crop: 0.5, scale: [0.7, 1.4] } as const;
    const views = [1, 1, 2, 3, 4].map((seed) => augmentBoxes(four(), 64, 64, config, new Rng(seed)));
    expect(views[0].boxes).toEqual(views[1].boxes);
    expect(bytesOf(views[0]).equals(bytesOf(views[1]))).toBe(true);
    expect(new Set(views.map((view) => bytesOf(view).toString("base64"))).size).toBe(4);
    for (const view of views) expectTracked(view, 1.5);
  });
});

describe("mosaic", () => {
  it("has objects of its pictures where the boxes say, and leaves no gap", () => {
    const rng = new Rng("mosaic");
    let shown = 0;
    for (let round = 0; round < 30; round++) {
      const tile = (own: number, w: number, h: number) => drawn(w, h, [[10, 8, w - 12, h - 9]], own);
      const whole = mosaic([tile(0, 60, 50), tile(1, 90, 40), tile(2, 33, 77), tile(3, 64, 64)], 128, 100, rng);
      expect([whole.image.width, whole.image.height]).toEqual([128, 100]);
      expectTracked(whole, 1.5);
      shown += whole.boxes.length;
      const isGrey = (i: number) => [0, 1, 2].every((c) => whole.image.data[i * 3 + c] === 114);
      expect(Array.from({ length: 128 * 100 }, (_, i) => i).filter(isGrey).length).toBe(0);
    }
    expect(shown).toBeGreaterThan(90);
  });
});

describe("copyPaste", () => {
  it("puts objects where the boxes say, and drops what they cover", () => {
    const rng = new Rng("paste");
    const donor = drawn(50, 50, [[10, 10, 40, 35]], 4);
    const [cutout] = cutObjects(donor);
    expect([cutout.image.width, cutout.image.height, cutout.class]).toEqual([30, 25, 4]);
    let dropped = 0;
    for (let round = 0; round < 30; round++) {
      const source = four();
      const before = Buffer.from(source.image.data);
      const pasted = copyPaste(source, [cutout], [0.5, 2], rng);
      expect(bytesOf(source).equals(before)).toBe(true); // the original stays
      const own = pasted.boxes.filter((box) => box.class === 4);
      expect(own.length).toBe(1);
      expectTracked({ ...pasted, boxes: own }, 0);
      for (const { class: other } of pasted.boxes) expect(seen(pasted, other)).toBeDefined();
      dropped += 5 - pasted.boxes.length;
    }
    expect(dropped).toBeGreaterThan(0);
  });

  it("takes the box of what is opaque", () => {
    const image = drawn(20, 20, [[0, 0, 20, 20]], 5).image;
    const alpha = new Uint8Array(400);
    for (let y = 4; y < 16; y++) for (let x = 2; x < 10; x++) alpha[y * 20 + x] = 255;
    const pasted = copyPaste(drawn(60, 60, []), [{ image, alpha, class: 5 }], [1, 1], new Rng(3));
    const [x0, y0, x1, y1] = pasted.boxes[0].box;
    expect([x1 - x0, y1 - y0]).toEqual([8, 12]);
    expectTracked(pasted, 0);
    const clear = copyPaste(four(), [{ image, alpha: new Uint8Array(400), class: 5 }], [1, 1], new Rng(3));
    expect([bytesOf(clear).equals(bytesOf(four())), clear.boxes]).toEqual([true, four().boxes]); // nothing to paste
    expect(() => copyPaste(four(), [{ image, alpha: new Uint8Array(3), class: 5 }], [1, 1], new Rng(3))).toThrow(
      "alpha must be 20×20",
    );
  });
});
