import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DetectionSet } from "../../src/data/detection/detection-set.ts";
import { openDetectionSet } from "../../src/data/detection/open-detection-set.ts";
import { turnBox } from "../../src/data/detection/settle-boxes.ts";
import { decodeImage } from "../../src/io/images.ts";
import { writeJson, writePicture, writeText } from "./make-sets.ts";

const root = mkdtempSync(join(tmpdir(), "florence-bad-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const told = ({ problems }: DetectionSet) => problems.map(({ kind, id, action }) => [kind, id, action]);

describe("a COCO set full of faults", () => {
  const folder = join(root, "coco");
  const file = join(folder, "train/_annotations.coco.json");

  beforeAll(async () => {
    await writePicture(join(folder, "train/good.jpg"), { shade: 1 });
    await writePicture(join(folder, "train/other-size.jpg"), { shade: 2, width: 41 });
    await writePicture(join(folder, "train/leaked.jpg"), { shade: 3 });
    await writePicture(join(folder, "train/twin.jpg"), { shade: 1 });
    await writePicture(join(folder, "test/kept.jpg"), { shade: 3 });
    writeText(join(folder, "train/text.jpg"), "no picture");
    const image = (id: number, name: string) => ({ id, file_name: name, width: 40, height: 30 });
    const box = (id: number, bbox: unknown, rest: object = {}) => {
      return { id, image_id: 1, category_id: 1, bbox, area: 1, iscrowd: 0, ...rest };
    };
    writeJson(file, {
      categories: [
        { id: 1, name: "cat" },
        { id: 2, name: "cat" },
        { id: 2, name: "dog" },
        { id: "x", name: "cow" },
      ],
      images: [
        ...[image(1, "good.jpg"), image(2, "missing.jpg"), image(3, "text.jpg"), image(4, "other-size.jpg")],
        ...[image(5, "leaked.jpg"), image(6, "twin.jpg"), image(1, "again.jpg"), image(7, "good.jpg")],
      ],
      annotations: [
        box(100, [1, 1, 5, 5]),
        box(101, [35, 25, 10, 10]), // sticks out
        box(102, [50, 1, 5, 5]), // wholly outside
        box(103, [1, 1, 0, 5]),
        box(104, [5, 5, -2, 5]),
        box(105, [1, null, 5, 5]), // what JSON writes for NaN
        box(106, [1, 1, 5]),
        box(107, [1, 1, 5, 5], { category_id: 9 }),
        box(108, [1, 1, 5, 5], { image_id: 77 }),
        box(100, [2, 2, 5, 5]), // its id was there before
        box(109, [2, 2, 5, 5], { category_id: 2 }), // of the class named twice
        box(110, [0, 0, 40.004, 30]), // only rounded otherwise
      ],
    });
    writeJson(join(folder, "test/_annotations.coco.json"), {
      categories: [{ id: 1, name: "cat" }],
      images: [image(1, "kept.jpg")],
      annotations: [box(1, [1, 1, 5, 5])],
    });
  });

  it("is used but for the faults, each reported with its file and id", async () => {
    const set = await openDetectionSet(folder);
    expect(told(set)).toEqual([
      ["duplicate-class", 2, "mended"],
      ["duplicate-id", 2, "left-out"],
      ["bad-annotation", undefined, "left-out"],
      ["duplicate-id", 1, "left-out"],
      ["unknown-category", 107, "left-out"],
      ["missing-image", 108, "left-out"],
      ["duplicate-id", 100, "left-out"],
      ["box-outside", 101, "mended"],
      ["box-outside", 102, "left-out"],
      ["box-empty", 103, "left-out"],
      ["box-empty", 104, "left-out"],
      ["box-not-finite", 105, "left-out"],
      ["box-not-finite", 106, "left-out"],
      ["missing-image", 2, "left-out"],
      ["unreadable-image", 3, "left-out"],
      ["size-mismatch", 4, "left-out"],
      ["duplicate-image", 7, "left-out"],
      ["split-overlap", 5, "left-out"],
      ["duplicate-image", 6, "noted"],
    ]);
    for (const { path, error } of set.problems) expect(error.message.startsWith(path)).toBe(true);
    expect(set.problems.slice(7, 13).every(({ path }) => path === file)).toBe(true);
    expect(set.problems[7].error.message).toBe(
      `${file}: id 101: a box must lie within its picture of 40×30, got [35, 25, 45, 35] in good.jpg. It is mended.`,
    );
    expect(set.classes).toEqual(["cat"]);
    const train = set.splits.get("train") ?? [];
    expect(train.map((image) => image.file)).toEqual(["good.jpg", "twin.jpg"]);
    expect(train[0].boxes.map(({ id, box, area }) => [id, box, area])).toEqual([
      [100, [1, 1, 6, 6], 1],
      [101, [35, 25, 40, 30], 25], // the area goes with the box
      [109, [2, 2, 7, 7], 1],
      [110, [0, 0, 40, 30], 1],
    ]);
    expect(set.splits.get("test")?.length).toBe(1);
  });

  it("is refused under strict", async () => {
    await expect(openDetectionSet(folder, { strict: true })).rejects.toThrow(
      `must be without fault under strict, got 18 problems, the first: ${file}: id 2: class names must differ`,
    );
    await expect(openDetectionSet(join(folder, "test"), { strict: true })).resolves.toMatchObject({ problems: [] });
  });
});

describe("faults of the other formats", () => {
  it("are named by line in YOLO", async () => {
    const folder = join(root, "yolo");
    await writePicture(join(folder, "train/images/a.jpg"));
    const labels = join(folder, "train/labels/a.txt");
    writeText(
      labels,
      "0 0.5 0.5 0.1 0.1\n\n3 0.5 0.5 0.1 0.1\n0 0.5 nan 0.1 0.1\n0 0.5 0.5 0 0.1\n0 0.5 0.5\n-1 0 0 1 1\n",
    );
    writeText(join(folder, "train/labels/orphan.txt"), "0 0.5 0.5 0.1 0.1\n");
    writeText(join(folder, "data.yaml"), "train: train/images\nnc: 3\nnames: [a, b, a]\n");
    const set = await openDetectionSet(folder);
    expect(set.problems.map(({ kind, path }) => [kind, path.slice(folder.length + 1)])).toEqual([
      ["duplicate-class", "data.yaml"],
      ["unknown-category", "train/labels/a.txt:3"],
      ["bad-annotation", "train/labels/a.txt:6"],
      ["unknown-category", "train/labels/a.txt:7"],
      ["missing-image", "train/labels/orphan.txt"],
      ["box-not-finite", "train/labels/a.txt:4"],
      ["box-empty", "train/labels/a.txt:5"],
    ]);
    expect(set.splits.get("train")?.[0].boxes.length).toBe(1);
  });

  it("are named by file and place in Pascal VOC", async () => {
    const folder = join(root, "voc");
    for (const [shade, name] of ["a", "b"].entries()) await writePicture(join(folder, `${name}.jpg`), { shade });
    const object = "<object><name>cat</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>5</xmax></bndbox></object>";
    writeText(join(folder, "a.xml"), `<annotation><filename>old-name.jpg</filename>${object}</annotation>`);
    writeText(join(folder, "c.xml"), "<annotation>");
    const set = await openDetectionSet(folder);
    expect(set.problems.map(({ kind, path, id }) => [kind, path.slice(folder.length + 1), id])).toEqual([
      ["bad-annotation", "c.xml", undefined],
      ["missing-annotation", "b.jpg", undefined],
      ["box-not-finite", "a.xml", 1],
    ]);
    expect(set.splits.get("train")?.map(({ file, boxes }) => [file, boxes])).toEqual([["a.jpg", []]]);
  });

  it("are explained when nothing is left, or nothing is known", async () => {
    const folder = join(root, "nothing");
    writeText(join(folder, "notes.md"), "hello");
    await expect(openDetectionSet(folder)).rejects.toThrow("must be a COCO .json, a YOLO data.yaml");
    await expect(openDetectionSet(join(root, "nowhere"))).rejects.toThrow("must exist");
    writeJson(join(folder, "x.json"), { images: [], annotations: [], categories: [] });
    await expect(openDetectionSet(join(folder, "x.json"))).rejects.toThrow("must have a picture that can be used");
    writeJson(join(folder, "y.json"), { images: [] });
    await expect(openDetectionSet(join(folder, "y.json"))).rejects.toThrow('must have a list "categories", got none');
    writeText(join(folder, "z.json"), "{");
    await expect(openDetectionSet(join(folder, "z.json"))).rejects.toThrow("must be JSON");
  });
});

describe("pictures with an EXIF orientation", () => {
  it.each([2, 3, 4, 5, 6, 7, 8])("turn boxes as orientation %i turns pixels", async (orientation) => {
    const path = join(root, `turn-${orientation}.jpg`);
    const red = { create: { width: 8, height: 5, channels: 3 as const, background: "#f00" } };
    await sharp({ create: { width: 40, height: 30, channels: 3, background: "#000" } })
      .composite([{ input: await sharp(red).png().toBuffer(), left: 24, top: 3 }])
      .withMetadata({ orientation })
      .jpeg({ quality: 100, chromaSubsampling: "4:4:4" })
      .toFile(path);
    const { width, height, data } = await decodeImage(path);
    const [x0, y0, x1, y1] = turnBox([24, 3, 32, 8], orientation, width, height);
    const wrong: number[][] = [];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const isWithin = x >= x0 && x < x1 && y >= y0 && y < y1;
        if (data[(y * width + x) * 3] > 127 !== isWithin) wrong.push([x, y]);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("have their boxes turned where these are of the stored picture, and are reported", async () => {
    const folder = join(root, "turned");
    const size = { width: 40, height: 30 };
    await writePicture(join(folder, "stored.jpg"), { ...size, orientation: 6, shade: 1 });
    await writePicture(join(folder, "shown.jpg"), { ...size, orientation: 6, shade: 2 });
    await writePicture(join(folder, "mirrored.jpg"), { ...size, orientation: 2, shade: 3 });
    const box = { category_id: 1, bbox: [0, 0, 10, 5], area: 50, iscrowd: 0 };
    writeJson(join(folder, "_annotations.coco.json"), {
      categories: [{ id: 1, name: "cat" }],
      images: [
        { id: 1, file_name: "stored.jpg", ...size },
        { id: 2, file_name: "shown.jpg", width: 30, height: 40 },
        { id: 3, file_name: "mirrored.jpg", ...size },
      ],
      annotations: [1, 2, 3].map((id) => ({ id, image_id: id, ...box })),
    });
    const set = await openDetectionSet(folder);
    expect(told(set)).toEqual([
      ["rotated", 1, "mended"],
      ["rotated", 2, "noted"],
      ["rotated", 3, "noted"],
    ]);
    const images = set.splits.get("train") ?? [];
    expect(images.map(({ width, height, boxes }) => [width, height, boxes[0].box])).toEqual([
      [30, 40, [25, 0, 30, 10]],
      [30, 40, [0, 0, 10, 5]],
      [40, 30, [0, 0, 10, 5]],
    ]);
    for (const image of images) expect((await set.decode(image)).width).toBe(image.width);
  });
});
