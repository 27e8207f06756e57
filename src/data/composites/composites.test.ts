import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rgbImage } from "../../core/image.ts";
import { Rng } from "../../core/rng.ts";
import { openDetectionSet } from "../detection/open-detection-set.ts";
import { composePicture } from "./compose-picture.ts";
import { type Cutout, cutoutFromRgba, viewCutout } from "./cutout.ts";
import { readCutout } from "./cutout-packages.ts";
import { maskBounds, type RunLengths, runLengths } from "./run-lengths.ts";
import { writeComposites } from "./write-composites.ts";

/** A disc of one colour on transparent pixels, whose hidden colour is another one. */
function disc(side: number, colour: readonly number[], hidden = [0, 255, 0]): Cutout {
  const rgba = new Uint8Array(side * side * 4);
  for (let i = 0; i < side * side; i++) {
    const [x, y] = [(i % side) + 0.5 - side / 2, Math.floor(i / side) + 0.5 - side / 2];
    const isInside = Math.hypot(x, y) < side / 2;
    rgba.set([...(isInside ? colour : hidden), isInside ? 255 : 0], 4 * i);
  }
  return cutoutFromRgba(side, side, rgba);
}

/** The mask's pixels by reading COCO's definition to the letter: columns one after the other. */
function decoded({ size: [height, width], counts }: RunLengths): boolean[] {
  const flat = counts.flatMap((run, i) => new Array<boolean>(run).fill(i % 2 === 1));
  expect(flat.length).toBe(width * height);
  return Array.from({ length: width * height }, (_, at) => flat[(at % width) * height + Math.floor(at / width)]);
}

describe("run lengths", () => {
  it("give the mask, its area and its bounds again", () => {
    const rng = new Rng("masks");
    for (let round = 0; round < 60; round++) {
      const [width, height] = [1 + rng.int(9), 1 + rng.int(9)];
      const share = rng.uniform();
      const mask = Array.from({ length: width * height }, () => rng.uniform() < share);
      const lengths = runLengths(width, height, (at) => mask[at]);
      expect(decoded(lengths)).toEqual(mask);
      const set = mask.flatMap((value, at) => (value ? [[at % width, Math.floor(at / width)]] : []));
      const [xs, ys] = [set.map(([x]) => x), set.map(([, y]) => y)];
      const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1];
      expect(maskBounds(lengths)).toEqual(set.length > 0 ? { box, area: set.length } : undefined);
    }
  });
});

describe("viewCutout", () => {
  const plain = { radians: 0, flip: false, gain: [1, 1, 1], soften: false } as const;

  it("lets no hidden colour into the edge, however it is scaled and turned", () => {
    const view = viewCutout(disc(40, [200, 0, 0]), { ...plain, longest: 23, radians: 0.4, soften: true });
    for (let i = 0; i < view.opacity.length; i++) {
      expect(view.colours[3 * i + 1]).toBe(0); // the hidden green
      expect(view.colours[3 * i]).toBeLessThanOrEqual(view.opacity[i]);
    }
  });

  it("turns and flips exactly by quarter turns", () => {
    const rng = new Rng("turn");
    const rgba = Uint8Array.from({ length: 6 * 4 * 4 }, (_, i) => (i % 4 === 3 ? 255 : rng.int(256)));
    const source = cutoutFromRgba(6, 4, rgba);
    const turned = viewCutout(source, { ...plain, longest: 6, radians: Math.PI / 2 });
    expect([turned.width, turned.height]).toEqual([4, 6]);
    const red = (cutout: Cutout, x: number, y: number) => cutout.colours[3 * (y * cutout.width + x)];
    for (let y = 0; y < 6; y++) for (let x = 0; x < 4; x++) expect(red(turned, x, y)).toBe(red(source, 5 - y, x));
    const flipped = viewCutout(source, { ...plain, longest: 6, flip: true });
    for (let y = 0; y < 4; y++) for (let x = 0; x < 6; x++) expect(red(flipped, x, y)).toBe(red(source, 5 - x, y));
  });
});

describe("composePicture", () => {
  it("labels what can be seen: masks are the objects' own pixels, boxes bound them, no object is mostly hidden", () => {
    const colours = [
      [250, 10, 10],
      [10, 250, 10],
      [10, 10, 250],
      [250, 250, 10],
      [10, 250, 250],
    ];
    let hidden = 0;
    let cut = 0;
    const shown = [0, 0]; // mask pixels that have their object's colour, and others, which lie on its blended edge
    for (let seed = 0; seed < 25; seed++) {
      const cutouts = colours.map((colour, own) => ({ cutout: disc(50, colour, colour), class: own }));
      const background = rgbImage(80, 60);
      const { image, objects } = composePicture(background, cutouts, new Rng(seed), { scale: [0.2, 0.9] });
      expect(background.data.findIndex((value) => value !== 0)).toBe(-1); // the original stays
      const owners = new Uint8Array(80 * 60);
      for (const { class: own, box, area, visible, segmentation } of objects) {
        expect(maskBounds(segmentation)).toEqual({ box, area });
        expect(visible).toBeGreaterThanOrEqual(0.4);
        if (visible < 0.95) hidden++;
        if (box[0] === 0 || box[1] === 0 || box[2] === 80 || box[3] === 60) cut++;
        const [x0, y0, x1, y1] = box;
        expect(area).toBeLessThanOrEqual((x1 - x0) * (y1 - y0));
        decoded(segmentation).forEach((isSet, at) => {
          if (!isSet) return;
          owners[at]++;
          const pixel = image.data.subarray(3 * at, 3 * at + 3);
          const channels = [0, 1, 2].map((c) => colours[own][c] > 100);
          const [least, most] = [
            Math.min(...pixel.filter((_, c) => channels[c])),
            Math.max(...pixel.filter((_, c) => !channels[c])),
          ];
          shown[least > most ? 0 : 1]++;
        });
      }
      expect(Math.max(...owners)).toBe(1); // no pixel is two objects'
      const bare = image.data.findIndex((value, i) => value > 225 && owners[Math.floor(i / 3)] === 0);
      expect(bare).toBe(-1); // nothing bright is without a label
    }
    expect(shown[1] / shown[0]).toBeLessThan(0.02);
    expect(hidden).toBeGreaterThan(10);
    expect(cut).toBeGreaterThan(5);
  });
});

describe("writeComposites", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "florence-composites-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const names = Array.from({ length: 40 }, (_, i) => `cut-out of thing ${i}`);
  const options = {
    cutouts: names.map((name, i) => ({ key: `${i % 2 ? "a" : "b"}/${i}`, name, cutout: disc(30, [5 * i, 200, 90]) })),
    backgrounds: names.map((key, i) => ({ key, image: rgbImage(70, 50, new Uint8Array(10500).fill(5 * i)) })),
    count: 8,
    valCount: 3,
    side: 96,
    seed: 4,
    info: { description: "a test" },
  };

  it("is read back as it was written, and is the same for the same seed", async () => {
    const report = await writeComposites(join(folder, "one"), options);
    const set = await openDetectionSet(join(folder, "one"), { strict: true });
    expect(set.problems).toEqual([]);
    expect([set.splits.get("train")?.length, set.splits.get("val")?.length]).toEqual([8, 3]);
    expect(set.classes).toEqual([...names].sort());
    const classesOf = (split: "train" | "val") =>
      new Set(set.splits.get(split)?.flatMap(({ boxes }) => boxes.map((box) => box.class)));
    const [train, val] = [classesOf("train"), classesOf("val")];
    expect([...val].filter((own) => train.has(own))).toEqual([]);
    const boxes = set.splits.get("train")?.flatMap((image) => image.boxes) ?? [];
    expect([boxes.length, val.size > 0]).toEqual([report.boxes.train, true]);
    for (const { box, area, segmentation } of boxes) {
      expect(maskBounds(segmentation as RunLengths)).toEqual({ box, area });
    }
    await writeComposites(join(folder, "two"), options);
    const read = (name: string, file: string) => readFile(join(folder, name, "train", file));
    for (const file of ["_annotations.coco.json", "train-000003.jpg"]) {
      expect((await read("one", file)).equals(await read("two", file))).toBe(true);
    }
    const other = await writeComposites(join(folder, "two"), { ...options, seed: 5, asObjects: true });
    expect(other.classes).toBe(1);
    expect((await openDetectionSet(join(folder, "two"))).classes).toEqual(["object"]);
    expect((await read("one", "train-000003.jpg")).equals(await read("two", "train-000003.jpg"))).toBe(false);
  });

  it("refuses to go without cut-outs, and leaves nothing behind", async () => {
    const attempt = writeComposites(join(folder, "none"), { ...options, cutouts: [] });
    await expect(attempt).rejects.toMatchObject({ code: "empty", message: expect.stringContaining("a cut-out") });
    await expect(openDetectionSet(join(folder, "none"))).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("readCutout", () => {
  it("cuts off transparent borders, and refuses what is no cut-out", async () => {
    const svg = (body: string) =>
      Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="100" height="80">${body}</svg>`);
    const refused: string[] = [];
    const cutout = await readCutout(svg('<circle cx="50" cy="40" r="20" fill="#f80"/>'), (why) => refused.push(why));
    expect(cutout && [cutout.width, cutout.height]).toEqual([40, 40]);
    expect(await readCutout(svg('<rect width="100" height="80"/>'), (why) => refused.push(why))).toBeUndefined();
    expect(await readCutout(svg('<rect width="9" height="9"/>'), (why) => refused.push(why))).toBeUndefined();
    expect(await readCutout(Buffer.from("no picture"), (why) => refused.push(why))).toBeUndefined();
    expect(refused.map((why) => why.split(":")[0])).toEqual(["no cut-out", "too small", "not decodable"]);
  });
});
