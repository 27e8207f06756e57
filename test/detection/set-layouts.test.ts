import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { convertDetectionSet } from "../../src/data/detection/convert-detection-set.ts";
import type { DetectionSet } from "../../src/data/detection/detection-set.ts";
import { openDetectionSet } from "../../src/data/detection/open-detection-set.ts";
import { writeJson, writePicture, writeText } from "./make-sets.ts";

const root = mkdtempSync(join(tmpdir(), "florence-layouts-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Split, file and left edges of every picture. */
const edgesOf = (set: DetectionSet) =>
  [...set.splits].flatMap(([split, images]) =>
    images.map(({ file, boxes }) => [split, file, boxes.map(({ box }) => Math.round(box[0]))]),
  );
const told = ({ problems }: DetectionSet) => problems.map(({ kind, action }) => [kind, action]);

/** COCO's fields for pictures of 40×30 with one box each, whose left edge is its picture's number from 1. */
function coco(names: readonly string[], categories = [{ id: 1, name: "cat" }]) {
  return {
    categories,
    images: names.map((name, i) => ({ id: i + 1, file_name: name, width: 40, height: 30 })),
    annotations: names.map((_, i) => ({
      ...{ id: i + 1, image_id: i + 1, category_id: categories[0].id },
      ...{ bbox: [i + 1, 1, 5, 5], area: 25, iscrowd: 0 },
    })),
  };
}

/** A row of a label file whose box has its left edge there, in a picture of 40×30. */
const row = (left: number) => `0 ${(left + 2.5) / 40} 0.5 ${5 / 40} 0.5\n`;

describe("folders called images", () => {
  it("in COCO's names do not cost YOLO its labels", async () => {
    const folder = join(root, "coco-images");
    const names = ["images/a.jpg", "a.jpg", "../outside/b.jpg", "images.jpg", "x/images/y/c.jpg"];
    for (const [shade, name] of names.entries()) await writePicture(join(folder, "train", name), { shade });
    writeJson(join(folder, "train/_annotations.coco.json"), coco(names));
    const set = await openDetectionSet(folder);
    await convertDetectionSet(set, join(root, "coco-images-yolo"), "yolo");
    const back = await openDetectionSet(join(root, "coco-images-yolo"));
    expect(told(back)).toEqual([]);
    expect(edgesOf(back)).toEqual([
      ["train", "a-2.jpg", [2]],
      ["train", "a.jpg", [1]],
      ["train", "images.jpg", [4]],
      ["train", "outside/b.jpg", [3]],
      ["train", "x/y/c.jpg", [5]],
    ]);
  });

  it("in a YOLO list's names neither", async () => {
    const folder = join(root, "list-images");
    await writePicture(join(folder, "images/train/a.jpg"), { shade: 1 });
    await writePicture(join(folder, "images/train/images.jpg"), { shade: 2 });
    writeText(join(folder, "labels/train/a.txt"), row(3));
    writeText(join(folder, "labels/train/images.txt"), row(4));
    writeText(join(folder, "train.txt"), "./images/train/a.jpg\n.\\images\\train\\images.jpg\n");
    writeText(join(folder, "data.yaml"), "train: train.txt\nnames: [cat]\n");
    const set = await openDetectionSet(folder);
    expect([told(set), edgesOf(set)]).toEqual([
      [],
      [
        ["train", "images/train/a.jpg", [3]],
        ["train", "images/train/images.jpg", [4]],
      ],
    ]);
    await convertDetectionSet(set, join(root, "list-images-yolo"), "yolo");
    const back = await openDetectionSet(join(root, "list-images-yolo"));
    expect(edgesOf(back)).toEqual([
      ["train", "train/a.jpg", [3]],
      ["train", "train/images.jpg", [4]],
    ]);
  });
});

describe("YOLO places", () => {
  it("may hold pictures of one name; only the same file is a duplicate", async () => {
    const folder = join(root, "two-places");
    for (const [shade, place] of ["one", "two"].entries()) {
      await writePicture(join(folder, place, "images/a.jpg"), { shade });
      writeText(join(folder, place, "labels/a.txt"), row(shade + 1));
    }
    writeText(join(folder, "one/labels/classes.txt"), "cat\n"); // of the labelling tool
    symlinkSync(join(folder, "one"), join(folder, "again"));
    writeText(join(folder, "data.yaml"), "train: [one/images, two/images, again/images]\nnames: [' cat ']\n");
    const set = await openDetectionSet(folder);
    expect(set.classes).toEqual(["cat"]);
    expect(told(set)).toEqual([["duplicate-image", "left-out"]]);
    expect(edgesOf(set)).toEqual([
      ["train", "one/images/a.jpg", [1]],
      ["train", "two/images/a.jpg", [2]],
    ]);
  });

  it("beside the description come before another set's beside its folder", async () => {
    const folder = join(root, "neighbours/mine");
    await writePicture(join(root, "neighbours/train/images/theirs.jpg"), { shade: 1 });
    await writePicture(join(folder, "train/images/mine.jpg"), { shade: 2 });
    await writePicture(join(root, "neighbours/valid/images/only.jpg"), { shade: 3 });
    const config = "train: ../train/images\nval: ..\\valid\\images\nnames: [cat]\n";
    writeText(join(folder, "data.yaml"), config);
    const set = await openDetectionSet(folder);
    expect(edgesOf(set)).toEqual([
      ["train", "mine.jpg", []],
      ["val", "only.jpg", []], // nothing of the kind beside the description
    ]);
  });

  it("that are training's and validation's at once stay training's, and it is said once", async () => {
    const folder = join(root, "coco128");
    for (const shade of [1, 2, 3]) await writePicture(join(folder, `images/train2017/${shade}.jpg`), { shade });
    writeText(join(folder, "coco128.yaml"), "train: images/train2017\nval: images/train2017\nnames: {0: cat}\n");
    const set = await openDetectionSet(folder);
    expect(set.problems.map(({ error }) => error.message)).toEqual([
      `${join(folder, "coco128.yaml")}: val must have other pictures than train, got the same places. It is left out.`,
    ]);
    expect([...set.splits].map(([split, images]) => [split, images.length])).toEqual([["train", 3]]);
  });
});

describe("COCO", () => {
  it("takes the separators of Windows where a name is found only so", async () => {
    const folder = join(root, "windows");
    await writePicture(join(folder, "train/deep/a.jpg"), { shade: 1 });
    await writePicture(join(folder, "train/b\\c.jpg"), { shade: 2 });
    writeJson(join(folder, "train/_annotations.coco.json"), coco(["deep\\a.jpg", "b\\c.jpg"]));
    const set = await openDetectionSet(folder);
    expect([told(set), edgesOf(set)]).toEqual([
      [],
      [
        ["train", "deep/a.jpg", [1]],
        ["train", "b\\c.jpg", [2]],
      ],
    ]);
  });

  it("numbers classes anew where splits use one id for several, and says so", async () => {
    const folder = join(root, "clash");
    await writePicture(join(folder, "train/a.jpg"), { shade: 1 });
    await writePicture(join(folder, "valid/b.jpg"), { shade: 2 });
    writeJson(join(folder, "train/_annotations.coco.json"), coco(["a.jpg"], [{ id: 7, name: "cat " }]));
    writeJson(join(folder, "valid/_annotations.coco.json"), coco(["b.jpg"], [{ id: 7, name: "dog" }]));
    const set = await openDetectionSet(folder);
    expect(set.classes).toEqual(["cat", "dog"]);
    const { lost } = await convertDetectionSet(set, join(root, "clash-coco"), "coco");
    expect(lost).toEqual([{ what: expect.stringMatching(/^category ids .* numbered anew$/), count: 2 }]);
    const back = await openDetectionSet(join(root, "clash-coco"));
    const names = [...back.splits].map(([split, [{ boxes }]]) => [split, back.classes[boxes[0].class]]);
    expect(names).toEqual([
      ["train", "cat"],
      ["val", "dog"],
    ]);
    const written = JSON.parse(readFileSync(join(root, "clash-coco/valid/_annotations.coco.json"), "utf8"));
    expect(written.categories.map(({ id }: { id: number }) => id)).toEqual([1, 2]);
  });

  it("keeps pictures of one name from two files of a split", async () => {
    const folder = join(root, "years");
    for (const [shade, year] of ["train2014", "train2017"].entries()) {
      await writePicture(join(folder, year, "a.jpg"), { shade });
      writeJson(join(folder, `annotations/instances_${year}.json`), coco(["a.jpg"]));
    }
    const set = await openDetectionSet(folder);
    expect([told(set), edgesOf(set)]).toEqual([
      [],
      [
        ["train", "a.jpg", [1]],
        ["train", "a-2.jpg", [1]],
      ],
    ]);
  });
});

describe("Pascal VOC in one folder", () => {
  const annotation = "<annotation><object><name>cat</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax>";
  const add = async (folder: string, name: string, shade: number) => {
    await writePicture(join(folder, `${name}.jpg`), { shade });
    writeText(join(folder, `${name}.xml`), `${annotation}<ymax>9</ymax></bndbox></object></annotation>`);
  };

  it("is not hidden by a picture called like a split", async () => {
    const folder = join(root, "flat-voc");
    for (const [shade, name] of ["a", "test", "train"].entries()) await add(folder, name, shade);
    mkdirSync(join(folder, "val")); // and an empty folder of one
    writeText(join(folder, "train.txt"), "a 0.5 0.5 1 1\n"); // of the picture "train", in another format
    const set = await openDetectionSet(folder);
    expect(told(set)).toEqual([]);
    expect(edgesOf(set).map(([split, file]) => `${split}/${file}`)).toEqual([
      "train/a.jpg",
      "train/test.jpg",
      "train/train.jpg",
    ]);
  });

  it("has its splits from lists of names", async () => {
    const folder = join(root, "listed-voc");
    for (const [shade, name] of ["a", "b", "c.d", "e"].entries()) await add(folder, name, shade);
    writeText(join(folder, "train.txt"), "a\n");
    writeText(join(folder, "val.txt"), "./images/b.jpg\r\n");
    writeText(join(folder, "test.txt"), "c.d\n");
    const set = await openDetectionSet(folder);
    expect(edgesOf(set).map(([split, file]) => `${split}/${file}`)).toEqual([
      "train/a.jpg",
      "train/e.jpg",
      "val/b.jpg",
      "test/c.d.jpg",
    ]);
  });
});
