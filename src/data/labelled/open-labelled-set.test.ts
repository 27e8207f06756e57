import { cpSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { pack } from "tar-stream";
import { afterAll, describe, expect, it } from "vitest";
import type { LabelledImage } from "./labelled-set.ts";
import { type OpenedLabelledSet, type OpenLabelledSetOptions, openLabelledSet } from "./open-labelled-set.ts";

const root = mkdtempSync(join(tmpdir(), "florence-labelled-"));
const cacheFolder = join(root, "cache");
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, content: string | Uint8Array = `bytes of ${path}`): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

/** A PNG of one colour. */
function png(red: number, green = 0, blue = 0): Promise<Buffer> {
  return sharp({ create: { width: 3, height: 2, channels: 3, background: { r: red, g: green, b: blue } } })
    .png()
    .toBuffer();
}

async function open(path: string, options: OpenLabelledSetOptions = {}): Promise<OpenedLabelledSet> {
  return openLabelledSet(join(root, path), { cacheFolder, ...options });
}

/** Every image as "split: key = labels | texts". */
function lines(set: OpenedLabelledSet): string[] {
  return [...set.splits].flatMap(([split, images]) =>
    images.map(({ key, labels, texts }) => {
      const names = labels.map((label) => set.classes[label]).join("+");
      return `${split}: ${key} = ${names}${texts.length > 0 ? ` | ${texts.join(" / ")}` : ""}`;
    }),
  );
}

function first(set: OpenedLabelledSet): LabelledImage {
  const [images] = [...set.splits.values()];
  return images[0];
}

async function tar(
  path: string,
  files: readonly (readonly [name: string, content: string | Buffer])[],
): Promise<string> {
  const archive = pack();
  for (const [name, content] of files) archive.entry({ name }, content);
  archive.finalize();
  return put(path, await buffer(archive));
}

describe("folders of classes", () => {
  it("reads splits by their usual names, classes in words, and says which split lacks a class", async () => {
    put("split/train/golden_retriever/1.jpg", await png(200));
    put("split/train/cat/2.jpg");
    put("split/valid/cat/3.jpg");
    put("split/test/golden_retriever/4.jpg");
    put("split/README.md");
    const set = await open("split");
    expect([set.name, set.format, set.isMultiLabel, set.problems]).toEqual(["split", "folder-of-classes", false, []]);
    expect(lines(set)).toEqual([
      "train: train/cat/2.jpg = cat",
      "train: train/golden_retriever/1.jpg = golden retriever",
      "val: valid/cat/3.jpg = cat",
      "test: test/golden_retriever/4.jpg = golden retriever",
    ]);
    expect(set.notes.map(({ message }) => message)).toEqual([
      'Split val: lacks 1 of 2 classes: "golden retriever".',
      'Split test: lacks 1 of 2 classes: "cat".',
    ]);
    const image = set.splits.get("train")?.[1] as LabelledImage;
    expect([...(await set.decode(image)).data.subarray(0, 3)]).toEqual([200, 0, 0]);
    await expect(set.decode({ ...image, key: "train/cat/2.jpg" })).rejects.toThrow(/2\.jpg: must be a JPEG, PNG/);
    await expect(set.decode({ ...image, key: "nowhere" })).rejects.toThrow(/got "nowhere"/);
    await set.close();
  });

  it("puts everything into train where nothing is divided, and takes a class called test for a class", async () => {
    put("plain/test/1.jpg");
    put("plain/exam/2.jpg");
    expect(lines(await open("plain"))).toEqual(["train: exam/2.jpg = exam", "train: test/1.jpg = test"]);
    put("wrapped/inner/train/a/1.jpg");
    put("wrapped/inner/dev/a/2.jpg");
    expect(lines(await open("wrapped"))).toEqual(["train: inner/train/a/1.jpg = a", "val: inner/dev/a/2.jpg = a"]);
  });

  it("names a split that is opened alone, and reports folders that are no split", async () => {
    put("divided/train/a/1.jpg");
    put("divided/test/a/2.jpg");
    put("divided/extra/3.jpg");
    put("divided/val/unlabelled.jpg");
    const set = await open("divided");
    expect(lines(set)).toEqual(["train: train/a/1.jpg = a", "test: test/a/2.jpg = a"]);
    expect(set.notes.map(({ kind, message }) => [kind, message.slice(root.length + 1)])).toEqual([
      ["ignored", "divided/val: has neither class folders nor a table; it is not read."],
      ["ignored", "divided/extra: is no split (train, val, test); its pictures are not read."],
    ]);
    const alone = await open("divided/test");
    expect([lines(alone), alone.notes[0].kind]).toEqual([["test: a/2.jpg = a"], "split-by-name"]);
  });

  it("keeps empty classes and merges spellings, but not the case of single letters", async () => {
    for (const name of ["Tabby_cat", "tabby cat", "A", "a", "Z"]) put(`spelt/${name}/1.jpg`, name);
    put("spelt/tabby cat/2.jpg");
    mkdirSync(join(root, "spelt/nothing here"));
    const set = await open("spelt");
    expect(set.classes).toEqual(["A", "Z", "a", "nothing here", "tabby cat"]);
    expect(lines(set)).toContain("train: Tabby_cat/1.jpg = tabby cat");
    expect(set.notes.map(({ message }) => message)).toEqual([
      'Class "tabby cat": is written "Tabby_cat" (1), "tabby cat" (2); these count as one class.',
      '1 of 5 classes: have no picture: "nothing here".',
    ]);
  });

  it("descends into the one subfolder that holds the folders of the classes", async () => {
    put("food/images/apple_pie/1.jpg");
    put("food/images/baklava/1.jpg");
    put("food/meta/classes.txt", "apple_pie\nbaklava\n");
    const food = await open("food");
    expect(food.classes).toEqual(["apple pie", "baklava"]);
    expect(lines(food)[0]).toBe("train: images/apple_pie/1.jpg = apple pie");
    expect(food.notes).toEqual([
      { kind: "descended", message: expect.stringContaining("has all pictures below images; the subfolders of that") },
    ]);
    put("single/cat/1.jpg"); // a class by itself, beside an empty one
    put("single/cat/young/2.jpg");
    put("single/cat/old/3.jpg");
    mkdirSync(join(root, "single/dog"));
    expect((await open("single")).classes).toEqual(["cat", "dog"]);
    put("parts/train/cat/young/2.jpg"); // a split that lacks a class is no folder around classes
    put("parts/train/dog/1.jpg");
    put("parts/val/cat/young/3.jpg");
    put("parts/val/cat/old/4.jpg");
    expect((await open("parts")).classes).toEqual(["cat", "dog"]);
  });

  it("tells listed classes apart that differ in case alone", async () => {
    for (const name of ["Polish", "polish", "TURKEY"]) put(`cased/${name}/${name}.jpg`);
    put("cased/classes.txt", "Polish\npolish\nTurkey\n");
    const set = await open("cased");
    expect(set.classes).toEqual(["Polish", "polish", "Turkey"]);
    expect(lines(set)).toEqual([
      "train: Polish/Polish.jpg = Polish",
      "train: TURKEY/TURKEY.jpg = Turkey",
      "train: polish/polish.jpg = polish",
    ]);
  });

  it("holds 10,000 classes", async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => ({
      file: `${i}.png`,
      offset: i,
      length: 2,
      label: `class_${i % 9_990}`,
    }));
    put("many/table.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
    put("many/images.bin", Buffer.alloc(20_001));
    put("many/classes.txt", Array.from({ length: 10_000 }, (_, i) => `class ${i}`).join("\n"));
    const set = await open("many");
    expect([set.classes.length, set.splits.get("train")?.length, set.problems]).toEqual([10_000, 20_000, []]);
    expect(set.splits.get("train")?.[19_999].labels).toEqual([19_999 - 2 * 9_990]);
    expect(set.notes).toEqual([
      {
        kind: "class-empty",
        message: expect.stringMatching(/^10 of 10000 classes: have no picture: "class 9990", .* and 5 more\.$/),
      },
    ]);
  });
});

describe("tables", () => {
  it("reads several labels, captions over several rows, a split column, and reports every bad row", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) put(`csv/img/${name}.jpg`);
    put(
      "csv/table.csv",
      [
        "image,labels,caption,split",
        "img/a.jpg,red|round,a ball,train",
        "img\\b.jpg,red; flat ,,valid",
        "img/c.jpg,,nothing to see,test",
        "img/a.jpg,red|round,the same ball,train",
        "img/gone.jpg,red,,train",
        "img/d.jpg,flat,,holdout",
        "img/e.jpg,,,train",
        "img/b.jpg,red;flat,,train",
      ].join("\n"),
    );
    const set = await open("csv");
    expect(lines(set)).toEqual([
      "train: img/a.jpg = red+round | a ball / the same ball",
      "train: img/e.jpg = ", // in a set of several labels a blank field says that none applies
      "val: img/b.jpg = flat+red",
      "test: img/c.jpg =  | nothing to see",
    ]);
    expect(set.isMultiLabel).toBe(true);
    const messages = set.problems.map(({ path, error }) => [path.split(":").at(-1), error.code, error.message]);
    expect(messages.sort()).toEqual([
      ["6", "not-found", expect.stringContaining("gone.jpg: must exist")],
      ["7", "corrupt", expect.stringContaining('"split" must be train, val or test, got "holdout"')],
      ["9", "corrupt", expect.stringContaining("must be in one split, got train for a picture that is in val")],
    ]);
  });

  it("keeps the first of two labels that contradict in a set of single labels", async () => {
    put("clash/a.jpg");
    put("clash/b.jpg");
    put("clash/rows.csv", "file,class\na.jpg,cat\na.jpg,cat\na.jpg,dog\nb.jpg,\n");
    const set = await open("clash");
    expect([lines(set), set.isMultiLabel]).toEqual([["train: a.jpg = cat"], false]);
    expect(set.problems.map(({ error }) => error.message)).toEqual([
      expect.stringMatching(/:4: must repeat the label "cat" of .*:2, got "dog"/),
      expect.stringMatching(/:5: must have a text or a label, got neither/),
    ]);
  });

  it("reads Latin-1 tables as such, with a note", async () => {
    put("latin/a.jpg");
    const text = "image,label\na.jpg,";
    put("latin/t.csv", Buffer.concat([Buffer.from(text), Buffer.from([0x63, 0x61, 0x66, 0xe9]), Buffer.from("\n")]));
    const set = await open("latin");
    expect(set.classes).toEqual(["café"]);
    expect(set.notes[0]).toMatchObject({ kind: "encoding", message: expect.stringContaining("read as Windows-1252") });
  });

  it("takes tables named by splits, lists of JSON and Roboflow's columns of 0 and 1", async () => {
    for (const name of ["1", "2"]) put(`named/${name}.jpg`);
    put("named/train.jsonl", '{"file": "1.jpg", "labels": ["x", "y"]}\n{"file":"2.jpg","label":"y"}\n');
    put("named/val.jsonl", '{"file": "2.jpg", "label": "x"}\n');
    put("named/notes.csv", "a\n1\n");
    const set = await open("named");
    expect(lines(set)).toEqual(["train: 1.jpg = x+y", "val: 2.jpg = x"]);
    expect(set.problems.map(({ error }) => error.message)).toEqual([
      expect.stringMatching(/train\.jsonl:2: must be in one split, got train for a picture that is in val/),
    ]);
    expect(set.notes.map(({ kind }) => kind)).toEqual(["ignored", "class-absent"]);
    put("one-hot/train/1.jpg");
    put("one-hot/train/2.jpg");
    put("one-hot/train/_classes.csv", "filename, cat, dog,fox\n1.jpg,1,1,0\n2.jpg, 0, 0, 0\n");
    const oneHot = await open("one-hot");
    expect(oneHot.classes).toEqual(["cat", "dog", "fox"]);
    expect(lines(oneHot)).toEqual(["train: train/1.jpg = cat+dog", "train: train/2.jpg = "]);
  });

  it("reads packed images, gzipped or not, with a class list", async () => {
    const [red, blue] = [await png(255), await png(0, 0, 255)];
    const rows = [
      { file: "train/x/1.png", offset: 0, length: red.length, label: "n2" },
      { file: "train/x/2.png", offset: red.length, length: blue.length, label: "n1" },
      { file: "train/x/3.png", offset: red.length, length: 10_000, label: "n1" },
    ];
    put("packed/train.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
    put("packed/train.jpegs.bin.gz", gzipSync(Buffer.concat([red, blue])));
    put("packed/test.jsonl", JSON.stringify({ file: "4.png", offset: 0, length: red.length, label: "crane (n3)" }));
    put("packed/test.jpegs.bin", red);
    const classes = [
      { wnid: "n1", names: ["crane"] },
      { wnid: "n2", names: ["sea_lion", "seal"] },
      { wnid: "n3", names: ["crane"] },
    ];
    put("packed/classes.json", JSON.stringify(classes));
    const set = await open("packed");
    expect(set.classes).toEqual(["crane (n1)", "sea lion", "crane (n3)"]);
    expect(lines(set)).toEqual([
      "train: train/x/1.png = sea lion",
      "train: train/x/2.png = crane (n1)",
      "test: test/4.png = crane (n3)",
    ]);
    expect(set.problems).toMatchObject([{ error: { code: "corrupt" } }]);
    const [, second] = set.splits.get("train") ?? [];
    expect([...(await set.decode(second)).data.subarray(0, 3)]).toEqual([0, 0, 255]);
    expect(await set.readBytes(second)).toEqual(new Uint8Array(blue));
    await set.close();
  });
});

describe("archives of images", () => {
  it("reads any image of webdataset tars, plain or gzipped, split by name", async () => {
    const long = `${"deep/".repeat(30)}x`; // over 100 bytes: a pax header
    await tar("wds/set-train-000.tar", [
      ["0.png", await png(10)],
      ["0.cls", "1"],
      [`${long}.png`, await png(20)],
      [`${long}.json`, '{"labels": ["0", "1"], "captions": ["one", "two"]}'],
      ["2.txt", "no image"],
    ]);
    const plain = await tar("wds/plain.tar", [
      ["0.png", await png(30)],
      ["0.cls", "0"],
      ["0.txt", "thirty"],
    ]);
    put("wds/set-test-000.tar.gz", gzipSync((await import("node:fs")).readFileSync(plain)));
    rmSync(plain);
    put("wds/classnames.txt", "cat\ndog\n");
    const set = await open("wds");
    expect(lines(set)).toEqual([
      "train: set-train-000/0 = dog",
      `train: set-train-000/${long} = cat+dog | one / two`,
      "test: set-test-000/0 = cat | thirty",
    ]);
    expect(set.problems.map(({ error }) => error.message)).toEqual([
      expect.stringMatching(/:2: must have an image, got txt/),
    ]);
    const reds = await Promise.all(
      [...set.splits.values()].flat().map(async (image) => (await set.decode(image)).data[0]),
    );
    expect(reds).toEqual([10, 20, 30]);
    await set.close();
  });

  it("keeps every picture where containers hold several under one name", async () => {
    const pictures = await Promise.all([png(1), png(2), png(3), png(4)]);
    await tar("repeated/train-0.tar", [
      ["a.png", pictures[0]],
      ["a.cls", "cat"],
      ["b.png", pictures[1]],
      ["b.cls", "dog"],
      ["a.png", pictures[2]],
      ["a.cls", "dog"],
      ["c.png", pictures[1]],
      ["c.png", pictures[3]],
      ["c.cls", "cat"],
    ]);
    const set = await open("repeated");
    expect(lines(set).map((line) => line.replace(/@\d+/, "@N"))).toEqual([
      "train: train-0/a = cat",
      "train: train-0/b = dog",
      "train: train-0/a@N = dog",
    ]);
    expect(set.problems.map(({ path, error }) => [path.slice(root.length + 1), error.message])).toEqual([
      ["repeated/train-0.tar:c", expect.stringContaining("must have one member of each ending, got several of png")],
    ]);
    const [one, , other] = set.splits.get("train") ?? [];
    expect((await set.decode(one)).data[0]).toBe(1);
    expect((await set.decode(other)).data[0]).toBe(3);

    const at = (i: number) => pictures.slice(0, i).reduce((sum, { length }) => sum + length, 0);
    const rows = [
      { image: "x.png", label: "cat", offset: at(0), length: pictures[0].length },
      { image: "x.png", label: "dog", offset: at(1), length: pictures[1].length },
      { image: "x.png", label: "cat", offset: at(0), length: pictures[0].length }, // the same picture once more
    ];
    put("twice/images.bin", Buffer.concat(pictures));
    put("twice/pets.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
    const packed = await open("twice/pets.jsonl");
    expect(lines(packed)).toEqual(["train: pets/x.png = cat", `train: pets/x.png@${at(1)} = dog`]);
    expect(packed.problems).toEqual([]);
  });

  it("gives what is whole of a truncated tar, and says where the damage is", async () => {
    const cut = await tar("cut/a.tar", [
      ["0.png", "zero"],
      ["0.cls", "x"],
      ["1.png", "one"],
      ["1.cls", "y"],
      ["2.png", "2".repeat(3000)],
    ]);
    truncateSync(cut, 4 * 1024 + 600);
    put("cut/b.tar", "no tar at all, only text that is longer than a header".repeat(20));
    const set = await open("cut");
    expect(lines(set)).toEqual(["train: a/0 = x"]); // the last sample before the damage may lack members
    expect(set.problems.map(({ path, error }) => [path, error.code])).toEqual([
      [cut, "corrupt"],
      [join(root, "cut/b.tar"), "corrupt"],
    ]);
  });

  it("reads idx pairs and refuses ones that do not fit", async () => {
    const header = (...sizes: number[]): Buffer => {
      const bytes = Buffer.alloc(4 + 4 * sizes.length);
      bytes.set([0, 0, 8, sizes.length]);
      for (const [i, size] of sizes.entries()) bytes.writeUInt32BE(size, 4 + 4 * i);
      return bytes;
    };
    const pixels = Buffer.from([0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]);
    put("idx/train-images-idx3-ubyte.gz", gzipSync(Buffer.concat([header(2, 2, 3), pixels])));
    put("idx/train-labels-idx1-ubyte", Buffer.concat([header(2), Buffer.from([10, 2])]));
    put("idx/t10k-images-idx3-ubyte", Buffer.concat([header(1, 2, 3), pixels.subarray(0, 6)]));
    put("idx/t10k-labels-idx1-ubyte", Buffer.concat([header(1), Buffer.from([2])]));
    const set = await open("idx");
    expect([set.format, set.classes]).toEqual(["idx", ["2", "10"]]);
    expect(lines(set)).toEqual(["train: train/0 = 10", "train: train/1 = 2", "test: t10k/0 = 2"]);
    const image = await set.decode(set.splits.get("train")?.[1] as LabelledImage);
    expect([image.width, image.height, ...image.data.subarray(0, 6)]).toEqual([3, 2, 10, 10, 10, 11, 11, 11]);
    await set.close();
    expect((await open("idx", { classes: ["a", "b", "c", "d"] })).splits.get("test")?.[0].labels).toEqual([2]);
    put("idx/t10k-labels-idx1-ubyte", Buffer.concat([header(2), Buffer.from([2, 2])]));
    await expect(open("idx")).rejects.toMatchObject({ code: "mismatch" });
    put("idx/t10k-labels-idx1-ubyte", Buffer.concat([header(2), Buffer.from([2])]));
    await expect(open("idx")).rejects.toThrow(/must have 10 bytes unpacked, got 9/);
  });

  it("reads COCO captions of several splits", async () => {
    for (const split of ["train2017", "val2017"]) {
      put(`coco/${split}/${split}.jpg`);
      const images = [{ id: 1, file_name: `${split}.jpg` }];
      const annotations = [
        { image_id: 1, caption: "one" },
        { image_id: 1, caption: "two" },
      ];
      put(`coco/annotations/captions_${split}.json`, JSON.stringify({ images, annotations }));
    }
    const set = await open("coco");
    expect([set.format, set.classes]).toEqual(["coco-captions", []]);
    expect(lines(set)).toEqual([
      "train: train2017/train2017.jpg =  | one / two",
      "val: val2017/val2017.jpg =  | one / two",
    ]);
  });
});

describe("the fingerprint", () => {
  it("is that of the content: equal for a copy, another for any change of bytes, labels or texts", async () => {
    put("print/cat/1.jpg", Buffer.alloc(20_000, 1));
    put("print/dog/2.jpg");
    const { fingerprint } = await open("print");
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
    cpSync(join(root, "print"), join(root, "copy"), { recursive: true });
    expect((await open("copy")).fingerprint).toBe(fingerprint);
    const changes: (() => unknown)[] = [
      () => put("copy/dog/2.jpg", "bytes of print/dog/3.jpg"),
      () => put("copy/cat/1.jpg", Buffer.concat([Buffer.alloc(19_999, 1), Buffer.from([2])])),
      () => put("copy/fox/3.jpg"),
    ];
    const seen = new Set([fingerprint]);
    for (const change of changes) {
      change();
      seen.add((await open("copy")).fingerprint);
    }
    expect(seen.size).toBe(4);
  });
});

describe("what cannot be opened", () => {
  it("is explained", async () => {
    await expect(open("absent")).rejects.toMatchObject({ code: "not-found" });
    mkdirSync(join(root, "nothing"));
    await expect(open("nothing")).rejects.toMatchObject({ code: "empty" });
    put("texts/some/note.txt");
    await expect(open("texts")).rejects.toThrow(/must be a folder with one subfolder a class/);
    put("gone/t.csv", "image,label\na.jpg,cat\n");
    await expect(open("gone")).rejects.toThrow(/got none\. The first of 1 problems: .*a\.jpg: must exist/);
    put("two/a.csv");
    put("two/b.csv");
    await expect(open("two")).rejects.toThrow(/must hold one table, got a\.csv, b\.csv/);
    put("list/a/1.jpg");
    put("list/classes.json", "[1, 2]");
    await expect(open("list")).rejects.toThrow(/classes\.json: must list class names, got 1/);
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(open("split", { signal })).rejects.toThrow("stopped");
  });

  it("reads the first image of a set that was reopened", async () => {
    const set = await open("packed");
    expect((await set.decode(first(set))).width).toBe(3); // from the unpacked copy in the cache
    await set.close();
  });
});
