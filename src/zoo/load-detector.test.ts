import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeTinyModel } from "../../test/e2e/tiny-model.ts";
import {
  type ColouredPicture,
  colouredPicture,
  overfitDetector,
  overfitSize as size,
} from "../../test/support/overfit-detector.ts";
import { tinyDetector } from "../../test/support/tiny-detector.ts";
import { type Box, boxIou } from "../core/boxes.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { Rng } from "../core/rng.ts";
import type { FoundBoxes } from "../models/detection/decode-detections.ts";
import { saveDetector } from "./detector-files.ts";
import type { DetectorModel } from "./detector-model.ts";
import { loadDetector } from "./load-detector.ts";
import { loadModel } from "./load-model.ts";

const embedding = 3;
const texts = Float32Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1]); // red, green, blue
const options = { texts, scoreThreshold: 0.3 };

let folder: string;
let model: DetectorModel;
let pictures: ColouredPicture[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-load-detector-"));
  const detector = tinyDetector(size, { kind: "text", embedding });
  const rng = new Rng(5);
  pictures = Array.from({ length: 4 }, () => colouredPicture(rng));
  const { weights } = await overfitDetector(detector, pictures, texts);
  await saveDetector(join(folder, "open"), {
    name: "open",
    architecture: detector.config,
    weights,
    classes: { kind: "text", embedder: { name: "colours", fingerprint: "c0104" }, templates: ["{}"] },
    preprocessing: { side: size, padding: "stride" },
  });
  model = await loadDetector(join(folder, "open"), { threads: 1 });
}, 60_000);
afterAll(async () => {
  await model?.dispose();
  await rm(folder, { recursive: true, force: true });
});

const imageOf = ({ pixels }: ColouredPicture): RgbImage => rgbImage(size, size, pixels);
const boxOf = (boxes: ArrayLike<number>, i: number): Box => [
  boxes[4 * i],
  boxes[4 * i + 1],
  boxes[4 * i + 2],
  boxes[4 * i + 3],
];

/** Each object is found: some box of its class lies on it. */
function expectFound(found: FoundBoxes, { objects }: ColouredPicture, move: (box: Box) => Box = (box) => box): void {
  expect(objects.classes.length).toBeGreaterThan(1);
  for (const [i, id] of objects.classes.entries()) {
    const truth = move(boxOf(objects.boxesXyxy, i));
    const best = Math.max(
      0,
      ...[...found.classes].map((own, at) => (own === id ? boxIou(boxOf(found.boxes, at), truth) : 0)),
    );
    expect(best).toBeGreaterThan(0.6);
  }
}

describe("loadDetector", () => {
  it("its folder is refused as a model, with what to do", async () => {
    await expect(loadModel(join(folder, "open"))).rejects.toThrow(
      /must be an image–text model, got a detector\. Name it by --detector/,
    );
  });

  it("finds what it learnt, alone and in a batch of several sizes", async () => {
    const [first, second] = pictures as [ColouredPicture, ColouredPicture];
    const [alone] = await model.detect([imageOf(first)], options);
    expectFound(alone as FoundBoxes, first);
    const wide = rgbImage(size, size / 2, first.pixels.slice(0, (size * size * 3) / 2));
    const batch = await model.detect([imageOf(second), wide, imageOf(first)], options);
    expectFound(batch[0] as FoundBoxes, second);
    expect((batch[2] as FoundBoxes).scores.length).toBe((alone as FoundBoxes).scores.length);
    for (const [i, value] of (batch[2] as FoundBoxes).boxes.entries()) {
      expect(value).toBeCloseTo((alone as FoundBoxes).boxes[i] as number, 3);
    }
    for (const [i, edge] of (batch[1] as FoundBoxes).boxes.entries()) {
      expect(edge).toBeLessThanOrEqual(i % 2 === 0 ? size : size / 2);
    }
  });

  it("tells boxes in pixels of the picture as it is shown: resized, with bars, turned by EXIF", async () => {
    const [picture] = pictures as [ColouredPicture];
    const raw = { raw: { width: size, height: size, channels: 3 } } as const;
    const path = join(folder, "turned.png");
    // Three times as large, grey below; stored lying on its side.
    await sharp(picture.pixels, raw)
      .resize(3 * size, 3 * size, { kernel: "nearest" })
      .png()
      .toBuffer()
      .then((bytes) => sharp(bytes).rotate(270).withMetadata({ orientation: 6 }).png().toFile(path));
    const read = await model.readImage(path, { keepsOriginal: true });
    expect([read.originalWidth, read.originalHeight, read.width]).toEqual([3 * size, 3 * size, size]);
    expect(read.originalData).toHaveLength(27 * size * size);
    const [found] = await model.detect([read], options);
    expectFound(found as FoundBoxes, picture, ([x0, y0, x1, y1]) => [3 * x0, 3 * y0, 3 * x1, 3 * y1]);
  });

  it("takes other labels at every call, any number of them", async () => {
    const [picture] = pictures as [ColouredPicture];
    const image = imageOf(picture);
    const [before] = await model.detect([image], options);
    const [blueFirst] = await model.detect([image], { ...options, texts: Float32Array.of(0, 0, 1, 0, 1, 0, 1, 0, 0) });
    expect([...(blueFirst as FoundBoxes).classes].map((id) => 2 - id)).toEqual([...(before as FoundBoxes).classes]);
    const many = new Float32Array(3 * 500); // all but three are nothing
    many.set(texts);
    const [among] = await model.detect([image], { ...options, texts: many });
    expect(among).toEqual(before);
  });

  it("keeps to thresholds and limits", async () => {
    const image = imageOf(pictures[0] as ColouredPicture);
    const [all] = await model.detect([image], { texts, scoreThreshold: 0.001, maxDetections: 1000, nmsThreshold: 1 });
    const [few] = await model.detect([image], { texts, scoreThreshold: 0.001, maxDetections: 2 });
    const [separate] = await model.detect([image], { texts, scoreThreshold: 0.001, nmsThreshold: 0.1 });
    expect(few?.scores).toHaveLength(2);
    expect((all as FoundBoxes).scores.length).toBeGreaterThan((separate as FoundBoxes).scores.length);
    expect(few?.scores[0]).toBe(all?.scores[0]);
  });

  it("does not hold up this thread, and follows an abort at once", async () => {
    const images = Array.from({ length: 60 }, () => imageOf(pictures[0] as ColouredPicture));
    const controller = new AbortController();
    const reason = new Error("enough");
    let ticks = 0;
    const timer = setInterval(() => {
      if (++ticks === 3) controller.abort(reason);
    }, 2);
    await expect(model.detect(images, { ...options, signal: controller.signal })).rejects.toBe(reason);
    clearInterval(timer);
    const [after] = await model.detect([images[0] as RgbImage], options);
    expectFound(after as FoundBoxes, pictures[0] as ColouredPicture);
  });

  it("refuses texts that do not fit, and folders that hold no detector", async () => {
    const images = [imageOf(pictures[0] as ColouredPicture)];
    await expect(model.detect(images)).rejects.toMatchObject({
      code: "bad-argument",
      message: expect.stringContaining("Embed labels with colours"),
    });
    await expect(model.detect(images, { texts: new Float32Array(4) })).rejects.toMatchObject({ code: "mismatch" });
    await expect(model.readImage(join(folder, "nowhere.png"))).rejects.toMatchObject({ code: "not-found" });
    await writeTinyModel(join(folder, "two-tower"));
    await expect(loadDetector(join(folder, "two-tower"))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("must be a detector's folder"),
    });
    await expect(loadDetector(join(folder, "nowhere"))).rejects.toMatchObject({ code: "not-found" });
  });

  it("loads a detector of fixed classes, in int8 too, which takes no texts", async () => {
    const detector = tinyDetector(size, { kind: "fixed", count: 3 });
    const { weights } = await overfitDetector(detector, pictures);
    await saveDetector(join(folder, "fixed"), {
      name: "fixed",
      architecture: detector.config,
      weights,
      classes: { kind: "fixed", names: ["red", "green", "blue"] },
      preprocessing: { side: size, padding: "square" },
    });
    const prints = new Set<string>([model.fingerprint]);
    for (const precision of ["float32", "int8"] as const) {
      await using fixed = await loadDetector(join(folder, "fixed"), { threads: 1, precision });
      prints.add(fixed.fingerprint);
      const found = await fixed.detect(pictures.map(imageOf), { scoreThreshold: 0.1 });
      for (const [i, picture] of pictures.entries()) expectFound(found[i] as FoundBoxes, picture);
      await expect(fixed.detect([imageOf(pictures[0] as ColouredPicture)], { texts })).rejects.toThrow("are fixed");
    }
    expect(prints.size).toBe(3);
  });
});
