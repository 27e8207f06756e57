import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertDetectionSet } from "../../src/data/detection/convert-detection-set.ts";
import type { DetectionSet } from "../../src/data/detection/detection-set.ts";
import { openDetectionSet } from "../../src/data/detection/open-detection-set.ts";
import { makeCocoSet, writeJson, writePicture, writeText } from "./make-sets.ts";

const root = mkdtempSync(join(tmpdir(), "florence-convert-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeAll(() => makeCocoSet(join(root, "coco")));

/** Every box of a set by split, file and place, edges as a detector sees them. */
function boxesOf(set: DetectionSet) {
  return [...set.splits].flatMap(([split, images]) =>
    images.flatMap(({ file, width, height, boxes }) =>
      boxes.map(({ box, class: own, crowd, difficult, area }) => {
        return { split, file, width, height, box, name: set.classes[own], crowd, difficult, area };
      }),
    ),
  );
}

describe("COCO", () => {
  it("is written as it was read: ids, order of classes, crowds, areas, segments, further fields", async () => {
    const set = await openDetectionSet(join(root, "coco"));
    expect([set.format, set.classes, set.problems]).toEqual(["coco", ["zebra", "ant & bee"], []]);
    const report = await convertDetectionSet(set, join(root, "coco-again"), "coco");
    expect(report).toMatchObject({ images: 3, boxes: 3, lost: [] });
    for (const split of ["train", "valid"]) {
      const read = (name: string) =>
        JSON.parse(readFileSync(join(root, name, split, "_annotations.coco.json"), "utf8")) as unknown;
      expect(read("coco-again")).toEqual(read("coco"));
    }
    expect(readFileSync(join(root, "coco-again/train/b.jpg"))).toEqual(readFileSync(join(root, "coco/train/b.jpg")));
    const again = await openDetectionSet(join(root, "coco-again"));
    expect(again.fingerprint).toBe(set.fingerprint);
  });

  it("is found as one file, and in COCO's own layout", async () => {
    const one = await openDetectionSet(join(root, "coco/train/_annotations.coco.json"));
    expect([...one.splits].map(([split, images]) => [split, images.length])).toEqual([["train", 2]]);
    await writePicture(join(root, "official/val2017/x.jpg"));
    writeJson(join(root, "official/annotations/instances_val2017.json"), {
      categories: [{ id: 1, name: "cat" }],
      images: [{ id: 1, file_name: "x.jpg", width: 40, height: 30 }],
      annotations: [{ id: 1, image_id: 1, category_id: 1, bbox: [1, 2, 3, 4], area: 12, iscrowd: 0 }],
    });
    writeJson(join(root, "official/annotations/captions_val2017.json"), { annotations: [] });
    const official = await openDetectionSet(join(root, "official"));
    expect(boxesOf(official)).toEqual([
      {
        ...{ split: "val", file: "x.jpg", width: 40, height: 30, box: [1, 2, 4, 6], name: "cat" },
        ...{ crowd: false, difficult: false, area: 12 },
      },
    ]);
    expect((await official.decode((official.splits.get("val") ?? [])[0])).width).toBe(40);
  });

  it("drops Roboflow's class 0 that only groups the others", async () => {
    await writePicture(join(root, "grouped/train/x.jpg"));
    writeJson(join(root, "grouped/train/_annotations.coco.json"), {
      categories: [
        { id: 0, name: "pieces", supercategory: "none" },
        { id: 1, name: "king", supercategory: "pieces" },
      ],
      images: [{ id: 0, file_name: "x.jpg", width: 40, height: 30 }],
      annotations: [{ id: 0, image_id: 0, category_id: 1, bbox: [1, 2, 3, 4], area: 12, iscrowd: 0 }],
    });
    const set = await openDetectionSet(join(root, "grouped"));
    expect([set.classes, set.problems.map(({ kind }) => kind)]).toEqual([["king"], ["superclass"]]);
    expect(boxesOf(set)[0].name).toBe("king");
  });
});

describe.each(["yolo", "voc"] as const)("%s", (format) => {
  it("keeps boxes, classes, splits and pictures of a COCO set, and says what it cannot hold", async () => {
    const set = await openDetectionSet(join(root, "coco"));
    const report = await convertDetectionSet(set, join(root, format), format);
    expect(report.lost.map(({ what, count }) => `${count} ${what}`).join("; ")).toMatch(
      format === "yolo"
        ? /^1 crowds.*1 difficult flags; 1 areas.*2 segments; 3 annotation ids; 1 further.*3 image ids; 1 .*2 category ids/
        : /^1 crowd flags.*2 areas.*2 segments; 3 annotation ids; 1 further.*3 image ids; 1 .*2 category ids/,
    );
    const back = await openDetectionSet(join(root, format));
    expect([back.format, back.classes, back.problems]).toEqual([format, set.classes, []]);
    const kept = boxesOf(set).filter(({ crowd }) => format === "voc" || !crowd);
    const found = boxesOf(back);
    expect(found.map(({ split, file, name, width, height }) => [split, file, name, width, height])).toEqual(
      kept.map(({ split, file, name, width, height }) => [split, file, name, width, height]),
    );
    for (const [i, { box }] of found.entries()) {
      for (const k of [0, 1, 2, 3]) expect(box[k]).toBeCloseTo(kept[i].box[k], 8);
    }
    if (format === "voc") expect(found.map(({ difficult }) => difficult)).toEqual([false, true, true]);
    expect(back.splits.get("val")?.[0].boxes).toEqual([]); // background stays

    // Its own round trip loses nothing.
    const second = await convertDetectionSet(back, join(root, `${format}-again`), format);
    expect(second.lost).toEqual([]);
    const again = await openDetectionSet(join(root, `${format}-again`));
    expect(again.fingerprint).toBe(back.fingerprint);
  });
});

describe("YOLO sets", () => {
  it("of Roboflow are found although their paths lead elsewhere; polygons become boxes", async () => {
    const folder = join(root, "roboflow-yolo");
    await writePicture(join(folder, "train/images/x.jpg"), { width: 100, height: 50 });
    await writePicture(join(folder, "valid/images/y.jpg"), { shade: 1 });
    writeText(join(folder, "train/labels/x.txt"), "1 0.5 0.5 0.2 0.4\n0 0.1 0.2 0.5 0.2 0.5 0.8\n");
    const config = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['a', 'b']\n";
    writeText(join(folder, "data.yaml"), config);
    const set = await openDetectionSet(folder);
    const [first, second] = boxesOf(set);
    expect(first).toMatchObject({ name: "b", box: [40, 15, 60, 35], area: 400 });
    expect(second.box.map((edge) => Math.round(edge * 1e6) / 1e6)).toEqual([10, 10, 50, 40]);
    expect(second.area).toBeCloseTo((40 * 30) / 2, 9);
    expect(set.problems.map(({ kind, path }) => [kind, path])).toEqual([["missing-image", join(folder, "data.yaml")]]);
    expect(set.splits.get("val")?.[0].boxes).toEqual([]);
  });

  it("may list their pictures in a file and number their names", async () => {
    const folder = join(root, "listed-yolo");
    await writePicture(join(folder, "images/p.jpg"));
    await writePicture(join(folder, "images/q.jpg"), { shade: 5 });
    writeText(join(folder, "labels/p.txt"), "0 0.5 0.5 1 1\n");
    writeText(join(folder, "test.txt"), "./images/p.jpg\n./images/q.jpg\n");
    writeText(join(folder, "my.yaml"), "path: /somewhere/else\ntest: test.txt\nnames:\n  0: cat\n");
    const set = await openDetectionSet(folder);
    expect(boxesOf(set)).toMatchObject([{ split: "test", box: [0, 0, 40, 30], name: "cat" }]);
    expect(set.splits.get("test")?.length).toBe(2);
  });

  it("are refused where the description is not one", async () => {
    const check = async (text: string) => {
      const path = join(root, "bad-yaml/data.yaml");
      writeText(path, text);
      return openDetectionSet(path);
    };
    await expect(check("names: [a]\nnames: [b]\ntrain: x")).rejects.toThrow("must be YAML");
    await expect(check("train: x")).rejects.toThrow("at names");
    await expect(check("names: [a]\nnc: 2\ntrain: x")).rejects.toThrow("nc must be the number of names, 1, got 2");
    await expect(check("names: {0: a, 2: b}\ntrain: x")).rejects.toThrow("must be numbered 0, 1, 2");
    const bomb = "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nnames: [*c, *c, *c, *c]\n";
    await expect(check(bomb)).rejects.toThrow("too many aliases");
  });
});

describe("Pascal VOC sets", () => {
  const object = (name: string, [a, b, c, d]: number[]) =>
    `<object><name>${name}</name><difficult>1</difficult><truncated>1</truncated><bndbox><xmin>${a}</xmin><ymin>${b}</ymin><xmax>${c}</xmax><ymax>${d}</ymax></bndbox></object>`;

  it("of the devkit have their lists of splits, and pixels that count from 1", async () => {
    const folder = join(root, "devkit");
    for (const [shade, name] of ["one", "two"].entries()) {
      await writePicture(join(folder, `JPEGImages/${name}.jpg`), { shade });
      const text = `<annotation><filename>${name}.jpg</filename>${object("dog", [1, 1, 40, 30])}</annotation>`;
      writeText(join(folder, `Annotations/${name}.xml`), text);
    }
    writeText(join(folder, "ImageSets/Main/train.txt"), "one\n");
    writeText(join(folder, "ImageSets/Main/val.txt"), "two\n");
    const set = await openDetectionSet(folder);
    expect(boxesOf(set)).toMatchObject([
      { split: "train", file: "one.jpg", box: [0, 0, 40, 30], difficult: true },
      { split: "val", file: "two.jpg", box: [0, 0, 40, 30] },
    ]);
    expect(set.splits.get("train")?.[0].boxes[0].extra).toEqual({ truncated: "1" });
  });

  it("that count from 0 are read as edges", async () => {
    const folder = join(root, "edges");
    await writePicture(join(folder, "one.jpg"));
    writeText(
      join(folder, "one.xml"),
      `<annotation>${object("dog", [0, 3, 40, 30])}${object("cat", [5, 5, 9, 9])}</annotation>`,
    );
    const set = await openDetectionSet(folder);
    expect(set.classes).toEqual(["cat", "dog"]);
    expect(boxesOf(set).map(({ box }) => box)).toEqual([
      [0, 3, 40, 30],
      [5, 5, 9, 9],
    ]);
  });

  it("may not declare entities, nor be something else", async () => {
    const check = async (text: string) => {
      const folder = mkdtempSync(join(root, "xml-"));
      await writePicture(join(folder, "one.jpg"));
      writeText(join(folder, "one.xml"), text);
      return openDetectionSet(folder);
    };
    const bomb = '<!DOCTYPE a [<!ENTITY x "yyyyyyyy"><!ENTITY z "&x;&x;">]><annotation>&z;</annotation>';
    await expect(check(bomb)).rejects.toThrow("declares entities");
    await expect(check("<annotation><size></annotation>")).rejects.toThrow("must be plain XML");
    await expect(check("<html></html>")).rejects.toThrow("<annotation>, got <html>");
    await expect(check(`${"<a>".repeat(40)}${"</a>".repeat(40)}`)).rejects.toThrow("16 deep");
  });
});

describe("convertDetectionSet", () => {
  it("never writes into a folder that holds something, nor leaves a part behind", async () => {
    const set = await openDetectionSet(join(root, "coco"));
    await expect(convertDetectionSet(set, join(root, "coco"), "yolo")).rejects.toThrow(
      "must be an empty or a new folder",
    );
    const target = join(root, "aborted");
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error("enough"));
    await expect(convertDetectionSet(set, target, "voc", { onProgress, signal: stop.signal })).rejects.toThrow(
      "enough",
    );
    expect(existsSync(target)).toBe(false);
    expect(readdirSync(root).filter((name) => name.startsWith(".aborted"))).toEqual([]);
  });

  it("gives pictures that differ only in their ending label files of their own", async () => {
    const folder = join(root, "twins");
    await writePicture(join(folder, "train/x.jpg"), { shade: 1 });
    await writePicture(join(folder, "train/x.jpeg"), { shade: 2 });
    const image = (id: number, name: string) => ({ id, file_name: name, width: 40, height: 30 });
    writeJson(join(folder, "train/_annotations.coco.json"), {
      categories: [{ id: 0, name: "cat" }],
      images: [image(1, "x.jpg"), image(2, "x.jpeg")],
      annotations: [1, 2].map((id) => ({
        id,
        image_id: id,
        category_id: 0,
        bbox: [id, 1, 5, 5],
        area: 25,
        iscrowd: 0,
      })),
    });
    await convertDetectionSet(await openDetectionSet(folder), join(root, "twins-yolo"), "yolo");
    const back = await openDetectionSet(join(root, "twins-yolo"));
    expect(boxesOf(back).map(({ file, box }) => [file, Math.round(box[0])])).toEqual([
      ["x-2.jpeg", 2],
      ["x.jpg", 1],
    ]);
  });

  it("refuses names that lead out of the set", async () => {
    const folder = join(root, "escaping");
    await writePicture(join(folder, "train/x.jpg"), { shade: 9 });
    await writePicture(join(folder, "y.jpg"), { shade: 8 });
    writeJson(join(folder, "train/_annotations.coco.json"), {
      categories: [{ id: 0, name: "cat" }],
      images: [{ id: 1, file_name: "../../escaping/y.jpg", width: 40, height: 30 }],
      annotations: [],
    });
    const set = await openDetectionSet(folder);
    await expect(convertDetectionSet(set, join(root, "escaped"), "coco")).rejects.toThrow("leads out of it");
  });
});
