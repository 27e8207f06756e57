import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { ShardReader } from "../../data/shards.ts";
import { exitCodes } from "../exit-codes.ts";
import { runCli } from "../program.ts";
import { dataCommand } from "./data.ts";

const root = mkdtempSync(join(tmpdir(), "florence-data-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function florence(...words: string[]): Promise<{ code: number; lines: string[]; errors: string }> {
  const written = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof written): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        written[name] += String(chunk);
        done();
      },
    });
  const code = await runCli(words, {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    environment: { FLORENCE_CACHE: join(root, "cache") },
    signal: new AbortController().signal,
    loadModel: () => Promise.reject(new Error("no model is needed")),
    commands: [dataCommand],
    version: "0.0.0",
  });
  return { code, lines: written.stdout.split("\n").filter((line) => line !== ""), errors: written.stderr };
}

/** A copy of Flickr8k's layout with 803 plain pictures: 800 to train on, 3 to test; the last repeats the first. */
async function makeFlickr(folder: string): Promise<void> {
  mkdirSync(join(folder, "images"), { recursive: true });
  const rows: string[] = [];
  for (let i = 0; i < 803; i++) {
    const file = `images/${String(i).padStart(4, "0")}.png`;
    const rng = new Rng(i % 802);
    const pixels = Buffer.from(Array.from({ length: 48 }, () => rng.int(240)));
    writeFileSync(
      join(folder, file),
      await sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } })
        .png()
        .toBuffer(),
    );
    rows.push(JSON.stringify({ file, captions: [`Picture ${i} .`] }));
  }
  writeFileSync(join(folder, "metadata.jsonl"), rows.join("\n"));
}

describe("florence data", () => {
  beforeAll(() => makeFlickr(join(root, "flickr8k-1000")));

  it("lists the sets with role, licence and packages", async () => {
    const { code, lines } = await florence("data", "list", "--json");
    expect(code).toBe(exitCodes.ok);
    const sets = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(sets.find(({ name }) => name === "emoji-twitter")).toMatchObject({ role: "evaluation", prepared: false });
    expect(sets.every(({ licence, source }) => licence !== "" && source !== "")).toBe(true);
    expect((await florence("data")).lines.length).toBe(2 * sets.length);
  });

  it("prepares sets and removes a training picture that is in the test set", async () => {
    const prepared = await florence("data", "prepare", "flickr8k-train", "flickr8k-test", "--source", root, "--json");
    expect(prepared.code).toBe(exitCodes.ok);
    expect(prepared.lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      {
        name: "flickr8k-train",
        folder: join(root, "cache/shards/flickr8k-train"),
        count: 800,
        size: 48,
        removed: {},
      },
      {
        name: "flickr8k-test",
        folder: join(root, "cache/shards/flickr8k-test"),
        count: 3,
        size: 48,
        removed: {},
      },
    ]);
    const small = await florence("data", "prepare", "flickr8k-test", "--source", root, "--size", "16");
    expect(small.lines[0]).toMatch(/^flickr8k-test-16: 3 pictures of 16×16 in /);

    const curated = await florence("data", "curate", "--json", "--dry-run");
    expect(curated.code).toBe(exitCodes.ok);
    expect(JSON.parse(curated.lines[0])).toMatchObject({ against: "flickr8k-test", removed: 1 });
    expect(existsSync(join(root, "cache/curation/report.md"))).toBe(true);
    const pairs = curated.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(pairs.map(({ training, against }) => [training, against])).toEqual([
      ["flickr8k-train", "flickr8k-test"],
      ["flickr8k-train", "flickr8k-test-16"], // by the manifests' roles, so those of another size too
      ["flickr8k-train", "flickr8k-train"],
    ]);
    const held = await florence("data", "curate", "flickr8k-test");
    expect([held.code, held.errors]).toEqual([exitCodes.usage, expect.stringContaining("got one for evaluation")]);
    const itself = await florence("data", "curate", "flickr8k-train", "--against", "flickr8k-train");
    expect([itself.code, itself.errors]).toEqual([exitCodes.usage, expect.stringContaining("got itself")]);
  });

  it("imports a table of one's own, row by row, and never over a set that is there", async () => {
    const table = join(root, "shop.csv");
    writeFileSync(table, "file,title\nflickr8k-1000/images/0001.png,A red shoe\nnot-there.png,A hat\n");
    const words = ["data", "import", table, "--name", "shop", "--size", "16", "--licence", "CC0", "--json"];
    const { code, lines } = await florence(...words);
    expect(code).toBe(exitCodes.someFailed);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ error: expect.objectContaining({ code: "not-found" }) }),
      expect.objectContaining({ name: "shop", count: 1, size: 16 }),
    ]);
    const reader = ShardReader.open(join(root, "cache/shards/shop"));
    expect([reader.rows[0].texts, reader.manifest.licence]).toEqual([["A red shoe"], "CC0"]);
    reader.close();
    const again = await florence(...words);
    expect([again.code, again.errors]).toEqual([exitCodes.usage, expect.stringContaining("a new set")]);
    const nameless = await florence("data", "import", table);
    expect([nameless.code, nameless.errors]).toEqual([exitCodes.usage, expect.stringContaining("Pass --name")]);
  });

  it("imports one split of a table, and never several as one set", async () => {
    const table = join(root, "splits.csv");
    const rows = ["Train,0001", "test,0002", "training,0003", ",0004"].map((row) => {
      const [split, name] = row.split(",");
      return `flickr8k-1000/images/${name}.png,picture ${name},${split}`;
    });
    writeFileSync(table, ["file,title,subset", ...rows].join("\n"));
    const words = ["data", "import", table, "--size", "16", "--name"];
    const several = await florence(...words, "several");
    expect([several.code, several.errors]).toEqual([
      exitCodes.usage,
      expect.stringContaining('must be one split, got train, test, blank in "subset"'),
    ]);
    expect(existsSync(join(root, "cache/shards/several"))).toBe(false);
    const { code, errors } = await florence(...words, "one", "--split", "train");
    expect(code, errors).toBe(exitCodes.ok);
    const reader = ShardReader.open(join(root, "cache/shards/one"));
    expect(reader.rows.map(({ texts }) => texts)).toEqual([["picture 0001"], ["picture 0003"]]);
    expect(reader.manifest).toMatchObject({ source: `${table}, split train`, role: "training" });
    reader.close();
    const none = await florence(...words, "none", "--split", "val");
    expect([none.code, none.errors]).toEqual([
      exitCodes.usage,
      expect.stringContaining("rows of the split val, got train"),
    ]);
    const folder = await florence("data", "import", join(root, "flickr8k-1000"), "--name", "f", "--split", "train");
    expect([folder.code, folder.errors]).toEqual([exitCodes.usage, expect.stringContaining("got no column of splits")]);
  });

  it("inspects a table: one JSON object or lines, a sheet, and an exit code that tells of lost rows", async () => {
    const table = join(root, "looked-at.csv");
    writeFileSync(
      table,
      "file,label\nflickr8k-1000/images/0001.png,a\nflickr8k-1000/images/0002.png,b\nnot-there.png,b\n",
    );
    const { code, lines } = await florence("data", "inspect", table, "--json", "--sheet", join(root, "sheet.png"));
    expect([code, lines.length]).toEqual([exitCodes.someFailed, 1]);
    expect(JSON.parse(lines[0])).toMatchObject({
      name: "looked-at",
      format: "csv",
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      splits: { train: 2 },
      classes: [
        { name: "a", total: 1, bySplit: { train: 1 } },
        { name: "b", total: 1, bySplit: { train: 1 } },
      ],
      sizes: { width: { least: 4, median: 4, most: 4 } },
      findings: [
        { kind: "left-out", severity: "error", count: 1, items: [expect.stringContaining("not-there.png")] },
        { kind: "one-image-class", severity: "warning", count: 2, items: ["a", "b"] },
      ],
    });
    expect((await sharp(join(root, "sheet.png")).metadata()).width).toBe(248);
    const good = await florence("data", "inspect", join(root, "flickr8k-1000"), "--quick");
    expect([good.code, good.lines[0]]).toEqual([exitCodes.ok, "flickr8k-1000: jsonl, 803 pictures, no classes"]);
    expect(good.lines).toContainEqual(expect.stringMatching(/^captions +803, 803 of them different/));
    const wrong = await florence("data", "inspect", table, "--sheet", "sheet.pdf");
    expect([wrong.code, wrong.errors]).toEqual([
      exitCodes.usage,
      expect.stringContaining("--sheet must end with .png"),
    ]);
    expect((await florence("data", "inspect")).errors).toContain("one path is needed, got 0");
  });

  it("inspects pictures with boxes: splits, classes, counts, and every problem", async () => {
    const folder = join(root, "boxes");
    const picture = { create: { width: 40, height: 30, channels: 3, background: "#123" } } as const;
    for (const [i, name] of ["train/images/a.png", "train/images/b.png", "valid/images/c.png"].entries()) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      const bytes = await sharp({ create: { ...picture.create, background: { r: i, g: 0, b: 0 } } })
        .png()
        .toBuffer();
      writeFileSync(join(folder, name), name.includes("c.png") ? bytes.subarray(0, -30) : bytes); // torn off
    }
    mkdirSync(join(folder, "train/labels"));
    const wrong = Array.from({ length: 12 }, () => "9 0.5 0.5 0.1 0.1\n").join("");
    writeFileSync(join(folder, "train/labels/a.txt"), `0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n${wrong}`);
    writeFileSync(join(folder, "data.yaml"), "train: train/images\nval: valid/images\nnames: [cat, dog, cow]\n");
    const { code, lines } = await florence("data", "inspect", folder, "--json");
    expect([code, lines.length]).toEqual([exitCodes.someFailed, 1]);
    const inspection = JSON.parse(lines[0]);
    expect(inspection).toMatchObject({
      ...{ name: "boxes", format: "yolo", splits: { train: 2, val: 1 }, boxes: 2, background: 2 },
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      classes: [
        { name: "cat", total: 1, bySplit: { train: 1, val: 0 } },
        { name: "dog", total: 1 },
        { name: "cow", total: 0 },
      ],
    });
    expect(inspection.problems.map(({ kind }: { kind: string }) => kind)).toEqual([
      ...Array(12).fill("unknown-category"),
      "unreadable-image",
    ]);
    const text = await florence("data", "inspect", folder, "--quick");
    expect(text.lines[0]).toBe("boxes: yolo, 3 pictures, 2 boxes, 3 classes");
    expect(text.lines).toContain("  dog  1  (1 / 0)");
    expect(text.lines.filter((line) => line.includes("a.txt:")).length).toBe(12); // none is left out
    const sheet = await florence("data", "inspect", folder, "--sheet", "sheet.png");
    expect([sheet.code, sheet.errors]).toEqual([exitCodes.usage, expect.stringContaining("is for labelled pictures")]);
  });

  it("converts a table into class folders, with one line a row left out and one for the set", async () => {
    const [table, out] = [join(root, "looked-at.csv"), join(root, "converted")];
    const words = ["data", "convert", table, "--to", "folder", "--out", out, "--json"];
    const { code, lines } = await florence(...words);
    expect(code).toBe(exitCodes.someFailed);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { path: `${table}:4`, error: expect.objectContaining({ code: "not-found" }) },
      { name: "looked-at", folder: out, form: "folder", count: 2, classes: 2, failed: 1 },
    ]);
    expect(existsSync(join(out, "train/a/flickr8k-1000-images-0001.png"))).toBe(true);
    expect((await florence(...words)).errors).toContain("must be a new folder");
    expect((await florence("data", "convert", table)).errors).toContain("Pass --to");
  });

  it("converts boxes, naming faults and what is not kept", async () => {
    const folder = join(root, "boxes");
    mkdirSync(join(folder, "train"), { recursive: true });
    const picture = sharp({ create: { width: 40, height: 30, channels: 3, background: "#345" } });
    writeFileSync(join(folder, "train/a.png"), await picture.png().toBuffer());
    const annotation = (id: number, bbox: number[]) => ({
      id,
      image_id: 1,
      category_id: 4,
      bbox,
      area: 25,
      iscrowd: 0,
    });
    const coco = {
      categories: [{ id: 4, name: "cat" }],
      images: [{ id: 1, file_name: "a.png", width: 40, height: 30 }],
      annotations: [annotation(1, [5, 5, 5, 5]), annotation(2, [5, 5, 0, 5])],
    };
    const file = join(folder, "train/_annotations.coco.json");
    writeFileSync(file, JSON.stringify(coco));
    const target = join(root, "boxes-yolo");
    const { code, lines } = await florence("data", "convert", folder, "--out", target, "--to", "yolo", "--json");
    expect(code).toBe(exitCodes.someFailed);
    const [fault, done] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(fault).toMatchObject({ path: file, kind: "box-empty", action: "left-out", id: 2 });
    expect(done).toMatchObject({ from: "coco", to: "yolo", images: 1, boxes: 1, splits: { train: 1 }, problems: 1 });
    expect(done.lost).toContainEqual({ what: "annotation ids", count: 1 });
    expect(readFileSync(join(target, "train/labels/a.txt"), "utf8")).toBe("0 0.1875 0.25 0.125 0.166666666667\n");
    expect(readFileSync(join(target, "data.yaml"), "utf8")).toBe("train: train/images\nnc: 1\nnames:\n  - cat\n");

    const again = await florence("data", "convert", folder, "--out", target, "--to", "voc");
    expect([again.code, again.errors]).toEqual([exitCodes.usage, expect.stringContaining("an empty or a new folder")]);
    const strict = await florence("data", "convert", folder, "--out", join(root, "none"), "--to", "voc", "--strict");
    expect([strict.code, existsSync(join(root, "none"))]).toEqual([exitCodes.badArtefact, false]);
    expect(strict.errors).toContain("must be without fault under strict, got 1 problems");
    const formless = await florence("data", "convert", folder, "--out", join(root, "none"));
    expect([formless.code, formless.errors]).toEqual([exitCodes.usage, expect.stringContaining("Pass --to")]);
    const back = await florence("data", "convert", target, "--out", join(root, "boxes-voc"), "--to", "voc");
    expect([back.code, back.lines]).toEqual([
      exitCodes.ok,
      [`${join(root, "boxes-voc")}: 1 pictures (train 1), 1 boxes, as voc`],
    ]);
  });

  it("explains what is missing", async () => {
    const none = await florence("data", "prepare");
    expect([none.code, none.errors]).toEqual([exitCodes.usage, expect.stringContaining("a set is needed")]);
    const unknown = await florence("data", "prepare", "imagenet");
    expect([unknown.code, unknown.errors]).toEqual([exitCodes.nothingDone, expect.stringContaining('got "imagenet"')]);
    const sourceless = await florence("data", "prepare", "cifar10-test");
    expect([sourceless.code, sourceless.errors]).toEqual([exitCodes.usage, expect.stringContaining("Pass --source")]);
    const both = await florence("data", "prepare", "flickr8k-test", "cifar10-test", "--source", root, "--json");
    expect(both.code).toBe(exitCodes.someFailed);
    expect(JSON.parse(both.lines[1])).toMatchObject({ name: "cifar10-test", error: { code: "not-found" } });
    const unprepared = await florence("data", "curate", "emoji");
    expect(unprepared.errors).toContain("florence data prepare emoji");
  });
});
