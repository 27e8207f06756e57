import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { openLabelledSet } from "../labelled/open-labelled-set.ts";
import type { FindingKind } from "./finding.ts";
import { type InspectOptions, inspectSet, type SetInspection } from "./inspect-set.ts";
import { inspectionLines } from "./inspection-report.ts";
import { chooseSamples, wrapped, writeSampleSheet } from "./sample-sheet.ts";
import { rangeOf } from "./set-statistics.ts";

const root = mkdtempSync(join(tmpdir(), "florence-inspect-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, content: string | Uint8Array): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

/** A photo-like picture: smooth random colours, other ones for each seed. */
async function photo(seed: number, format: "png" | "jpeg" = "png", width = 64, height = 48): Promise<Buffer> {
  const rng = new Rng(seed);
  const cells = Buffer.from(Array.from({ length: 8 * 6 * 3 }, () => rng.int(240)));
  const picture = sharp(cells, { raw: { width: 8, height: 6, channels: 3 } }).resize(width, height, {
    kernel: "cubic",
    fit: "fill",
  });
  return format === "png" ? picture.png().toBuffer() : picture.jpeg({ quality: 95 }).toBuffer();
}

async function inspect(path: string, options: InspectOptions = {}): Promise<SetInspection> {
  const set = await openLabelledSet(join(root, path), { cacheFolder: join(root, "cache") });
  return inspectSet(set, options).finally(() => set.close());
}

function items({ findings }: SetInspection, kind: FindingKind): string[] {
  return findings.filter((finding) => finding.kind === kind).flatMap((finding) => finding.items);
}

describe("inspectSet", () => {
  it("finds everything that is wrong with a bad folder, and nothing else", async () => {
    for (let i = 0; i < 4; i++) {
      put(`bad/train/cat/${i}.png`, await photo(i));
      put(`bad/train/dog/${i}.png`, await photo(10 + i));
    }
    put("bad/train/cat/same.png", await photo(1)); // a copy of cat/1
    put("bad/train/dog/as cat.png", await photo(2)); // cat/2 under another name
    put("bad/train/dog/re-saved.jpg", await photo(11, "jpeg")); // dog/1 as JPEG
    put("bad/train/dog/jpeg.png", await photo(30, "jpeg"));
    put("bad/train/fox/only.png", await photo(40));
    mkdirSync(join(root, "bad/train/wolf"));
    put("bad/train/dog/cut.png", (await photo(41)).subarray(0, 600));
    put("bad/train/dog/text.jpg", "no picture at all");
    put("bad/train/dog/nothing.png", "");
    put("bad/test/cat/leak.png", await photo(3)); // cat/3
    put("bad/test/cat/new.png", await photo(50));
    const turned = await sharp(await photo(12))
      .flop()
      .png()
      .toBuffer();
    put("bad/test/Dog/turned.png", turned); // dog/2 mirrored

    const found = await inspect("bad");
    expect(found.splits).toEqual({ train: 15, test: 3 });
    expect(found.classes).toEqual([
      { name: "cat", total: 7, bySplit: { train: 5, test: 2 } },
      { name: "dog", total: 10, bySplit: { train: 9, test: 1 } },
      { name: "fox", total: 1, bySplit: { train: 1 } },
      { name: "wolf", total: 0, bySplit: {} },
    ]);
    expect(items(found, "left-out")).toEqual([expect.stringContaining("nothing.png: must be a picture, got 0 bytes")]);
    expect(items(found, "unreadable-image")).toEqual([
      expect.stringContaining("train/dog/cut.png: must decode in full"),
      expect.stringContaining("train/dog/text.jpg: must be a JPEG, PNG"),
    ]);
    expect(items(found, "leakage")).toEqual(["train: train/cat/3.png (cat) = test: test/cat/leak.png (cat)"]);
    expect(items(found, "contradicting-labels")).toEqual([
      "train: train/cat/2.png (cat) = train: train/dog/as cat.png (dog)",
    ]);
    expect(items(found, "duplicate")).toEqual(["train: train/cat/1.png (cat) = train: train/cat/same.png (cat)"]);
    expect(items(found, "near-duplicate")).toEqual([
      "train: train/dog/1.png (dog) ≈ train: train/dog/re-saved.jpg (dog)",
    ]);
    expect(items(found, "near-leakage")).toEqual(["train: train/dog/2.png (dog) ≈ test: test/Dog/turned.png (dog)"]);
    expect(items(found, "wrong-extension")).toEqual(["train/dog/jpeg.png: is JPEG"]);
    expect(items(found, "one-image-class")).toEqual(["fox"]);
    expect(items(found, "class-empty")).toEqual(['1 of 4 classes: have no picture: "wolf".']);
    expect(items(found, "class-absent")).toEqual(['Split test: lacks 1 of 4 classes: "fox".']);
    expect(items(found, "class-merged")).toEqual([expect.stringContaining('"Dog" (1), "dog" (9)')]);
    const kinds = new Set(found.findings.map(({ kind }) => kind));
    expect(kinds.size).toBe(12);
    const order = found.findings.map(({ severity }) => severity);
    expect(order).toEqual(
      [...order].sort((a, b) => ["error", "warning", "note"].indexOf(a) - ["error", "warning", "note"].indexOf(b)),
    );

    const quick = await inspect("bad", { isQuick: true });
    expect(quick.sizes).toBeUndefined();
    const missed = [...kinds].filter((kind) => !quick.findings.some((finding) => finding.kind === kind));
    expect(missed.sort()).toEqual(["near-duplicate", "near-leakage", "unreadable-image"]);
  });

  it("finds nothing wrong with a clean set, and measures sizes and captions", async () => {
    for (const [i, [width, height]] of [
      [64, 48],
      [64, 48],
      [30, 60],
    ].entries()) {
      put(`good/${i}.png`, await photo(i, "png", width, height));
    }
    put(
      "good/rows.jsonl",
      [0, 1, 2]
        .map((i) => JSON.stringify({ file: `${i}.png`, captions: ["a b c", `word ${i}`].slice(0, 1 + (i % 2)) }))
        .join("\n"),
    );
    const found = await inspect("good");
    expect(found.findings).toEqual([]);
    expect(found.fileFormats).toEqual({ png: 3 });
    expect(found.sizes).toEqual({
      width: { least: 30, median: 64, most: 64 },
      height: { least: 48, median: 48, most: 60 },
      aspect: { least: 0.5, median: 64 / 48, most: 64 / 48 },
      common: [
        { size: "64×48", count: 2 },
        { size: "30×60", count: 1 },
      ],
      distinct: 2,
    });
    expect(found.captions).toEqual({
      captions: 4,
      imagesWithout: 0,
      perImage: { least: 1, median: 1, most: 2 },
      words: { least: 2, median: 3, most: 3 },
      distinct: 2,
    });
    expect(rangeOf([])).toBeUndefined();
  });

  it("holds 10,000 classes and says how uneven they are, in a page of text", async () => {
    const rows = Array.from({ length: 10_400 }, (_, i) => ({
      file: `${i}`,
      offset: i,
      length: 9,
      label: `class_${Math.max(0, i - 400)}`,
    }));
    put("many/table.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
    put(
      "many/pictures.bin",
      Uint8Array.from({ length: 10_408 }, (_, i) => (i * i * 7 + (i >> 8)) & 255),
    );
    const found = await inspect("many", { isQuick: true });
    expect(found.classes).toHaveLength(10_000);
    expect(items(found, "one-image-class")).toHaveLength(9_999);
    expect(items(found, "imbalance")).toEqual(["class 0: 401, class 1: 1"]);
    const lines = inspectionLines(found);
    expect(lines.length).toBeLessThan(50);
    expect(lines[0]).toBe("many: packed, 10,400 pictures, 10,000 classes");
    expect(lines).toContainEqual(expect.stringMatching(/^ {2}… and 9,980 more, down to "class 999\d?" with 1$/));
    expect(lines).toContainEqual(expect.stringMatching(/^warning: 9,999 × Classes have one picture/));
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(inspect("good", { signal })).rejects.toThrow("stopped");
  });
});

describe("writeSampleSheet", () => {
  it("gives every class its turn, and draws what does not decode as a cross", async () => {
    const set = await openLabelledSet(join(root, "bad"));
    const six = chooseSamples(set, 6);
    expect(six.map(({ image }) => set.classes[image.labels[0]])).toEqual(
      ["cat", "cat", "cat", "dog", "dog", "fox"].slice(0, 6),
    );
    expect(chooseSamples(set, 6)).toEqual(six);
    for (const ending of ["png", "jpg"]) {
      const path = join(root, `sheet.${ending}`);
      await writeSampleSheet(path, set);
      const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
      expect([info.width, info.height]).toEqual([10 * 120 + 8, 2 * 154 + 8]);
      // Every one of the 18 tiles has something in it, and the rest of the last row nothing.
      const isFilled = (tile: number): boolean => {
        const [left, top] = [8 + (tile % 10) * 120, 8 + Math.floor(tile / 10) * 154];
        const at = ((top + 50) * info.width + left + 56) * info.channels;
        return data.subarray(at, at + 3).some((value) => value < 250);
      };
      expect(Array.from({ length: 20 }, (_, i) => isFilled(i))).toEqual(Array.from({ length: 20 }, (_, i) => i < 18));
    }
    await writeSampleSheet(join(root, "sheet.html"), set);
    const page = readFileSync(join(root, "sheet.html"), "utf8");
    expect(page.match(/<figure /g)).toHaveLength(18);
    expect(page).toContain('title="train: train/dog/as cat.png"');
    expect(page.match(/does not decode/g)).toHaveLength(2);
    await expect(writeSampleSheet(join(root, "sheet.pdf"), set)).rejects.toThrow(/must end with .png/);
    await set.close();
  });

  it("breaks labels between words", () => {
    expect(wrapped("golden retriever")).toEqual(["golden retriever"]);
    expect(wrapped("A child in a pink dress")).toEqual(["A child in a pink", "dress"]);
    const [one, two] = wrapped("Donaudampfschifffahrtsgesellschaftskapitänsmütze");
    expect([one.length, two.length, two.at(-1)]).toEqual([19, 19, "…"]);
    expect(wrapped("")).toEqual([]);
  });
});
