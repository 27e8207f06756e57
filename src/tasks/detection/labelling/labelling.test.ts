import {
  appendFile,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashText } from "../../../core/rng.ts";
import { openDetectionSet } from "../../../data/detection/open-detection-set.ts";
import { type DetectedFile, type DetectFiles, labelFolder } from "./label-folder.ts";
import { readJournal } from "./label-journal.ts";
import { writeReviewPage } from "./review-page.ts";
import { writeLabels } from "./write-labels.ts";

const labels = ["cat", "<b>dog</b>"];
const settings = { detector: "fake", labels, minScore: 0.3 };
const count = 23;
let root: string;
let photos: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-label-"));
  photos = join(root, "photos");
  await mkdir(join(photos, "inner"), { recursive: true });
  const create = { width: 40, height: 30, channels: 3, background: "#456" } as const;
  const bytes = await sharp({ create }).png().toBuffer();
  for (let i = 0; i < count; i++) await writeFile(join(photos, i % 3 ? "" : "inner", `p${i}.png`), bytes);
  await writeFile(join(photos, "p1.jpg"), await sharp(bytes).jpeg().toBuffer()); // of the same stem as p1.png
  await writeFile(join(photos, "broken.png"), "no picture");
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Boxes that follow from the path; one leaves the picture, some pictures have none. */
function boxesOf(path: string) {
  const hash = hashText(path.slice(photos.length));
  return Array.from({ length: hash % 4 }, (_, k) => ({
    box: [(hash % 7) + k, 3.25, 20.5 + k, k === 2 ? 99 : 20.125] as const,
    label: labels[(hash + k) % 2],
    score: ((hash >>> 4) % 100) / 100,
  }));
}

function fake(seen: string[], dieAfter = Number.POSITIVE_INFINITY): DetectFiles {
  return async function* (paths): AsyncGenerator<DetectedFile> {
    for await (const path of paths) {
      if (seen.length >= dieAfter) throw new Error("killed");
      seen.push(path);
      if (path.endsWith("broken.png")) yield { path, error: { code: "corrupt", message: "it is broken" } };
      else yield { path, detections: boxesOf(path) };
    }
  };
}

async function journalled(path: string) {
  const rows = [];
  for await (const row of readJournal(path)) rows.push(row);
  return rows;
}

describe("labelFolder", () => {
  it("goes on after every kind of death: nothing lost, nothing twice", async () => {
    const journalPath = join(root, "deaths", "journal.jsonl");
    const seen: string[] = [];
    for (const dieAfter of [0, 4, 9, 15]) {
      const run = labelFolder({ folder: photos, journalPath, settings, detect: fake(seen, dieAfter) });
      await expect(run).rejects.toThrow("killed");
      await appendFile(journalPath, '{"file":"p9.png","wid'); // as a kill in the middle of a write leaves it
    }
    const { size } = await stat(journalPath);
    await truncate(journalPath, size - 30); // and a write that the disk has lost in part: its picture is done again
    const before = seen.length;
    const failures: string[] = [];
    const summary = await labelFolder({
      folder: photos,
      journalPath,
      settings,
      detect: fake(seen),
      onFailure: ({ path }) => void failures.push(path),
    });
    const rows = await journalled(journalPath);
    expect(rows.length).toBe(count + 1);
    expect(new Set(rows.map(({ file }) => file)).size).toBe(count + 1);
    expect(summary).toEqual({ labelled: seen.length - before - 1, earlier: rows.length - summary.labelled, failed: 1 });
    expect(failures).toEqual([join(photos, "broken.png")]);
    const good = seen.filter((path) => !path.endsWith("broken.png"));
    expect(good.length - new Set(good).size).toBe(1); // the one whose line was lost
    for (const { file, width, height, detections } of rows) {
      const whole = boxesOf(join(photos, file)).map(({ box, label, score }) => ({
        box: [box[0], 3.25, box[2], Math.min(30, Number(box[3].toFixed(2)))],
        label,
        score,
      }));
      expect([width, height, detections]).toEqual([40, 30, whole]);
    }
  });

  it("refuses a journal of other settings, and a damaged one", async () => {
    const journalPath = join(root, "other", "journal.jsonl");
    await labelFolder({ folder: photos, journalPath, settings, detect: fake([]) });
    const other = { folder: photos, journalPath, settings: { ...settings, minScore: 0.5 }, detect: fake([]) };
    await expect(labelFolder(other)).rejects.toMatchObject({
      code: "mismatch",
      message: expect.stringContaining("was begun with minScore 0.3, got 0.5"),
    });
    const lines = (await readFile(journalPath, "utf8")).split("\n");
    lines[3] = "{}";
    await writeFile(journalPath, lines.join("\n"));
    const again = labelFolder({ folder: photos, journalPath, settings, detect: fake([]) });
    await expect(again).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining("journal.jsonl:4") });
  });
});

describe("labelFolder called again", () => {
  const again = async (name: string) => {
    const folder = join(root, name);
    await mkdir(folder);
    for (const file of ["a.png", "b.png"]) await copyFile(join(photos, "p1.png"), join(folder, file));
    const options = { folder, journalPath: join(root, `${name}.jsonl`), settings };
    await labelFolder({ ...options, detect: fake([]) });
    return options;
  };

  it("refuses the journal of another folder, but takes one of before, which names none", async () => {
    const options = await again("first");
    const other = { ...options, folder: photos, detect: fake([]) };
    await expect(labelFolder(other)).rejects.toMatchObject({
      code: "mismatch",
      message: expect.stringMatching(
        /was begun with folder ".*first", got ".*photos"\. Use the same again, or another --out/,
      ),
    });
    const old = (await readFile(options.journalPath, "utf8"))
      .replace(`"folder":${JSON.stringify(await realpath(options.folder))},`, "")
      .replaceAll(/,"bytes":\d+,"changedMs":[\d.]+/g, "");
    expect(old).not.toMatch(/folder|bytes/);
    await writeFile(options.journalPath, old);
    expect(await labelFolder({ ...options, detect: fake([]) })).toEqual({ labelled: 0, earlier: 2, failed: 0 });
  });

  it("labels a picture anew that has changed, and only its last labels hold", async () => {
    const options = await again("changing");
    const create = { width: 60, height: 50, channels: 3, background: "#123" } as const;
    await sharp({ create }).png().toFile(join(options.folder, "a.png"));
    const seen: string[] = [];
    expect(await labelFolder({ ...options, detect: fake(seen) })).toEqual({ labelled: 1, earlier: 1, failed: 0 });
    expect(seen).toEqual([join(options.folder, "a.png")]);
    const rows = await journalled(options.journalPath);
    expect(rows.map(({ file, width }) => [file, width])).toEqual([
      ["b.png", 40],
      ["a.png", 60],
    ]);
    await utimes(join(options.folder, "b.png"), 1, 1); // of the same size
    expect(await labelFolder({ ...options, detect: fake(seen) })).toEqual({ labelled: 1, earlier: 1, failed: 0 });
    expect(await labelFolder({ ...options, detect: fake(seen) })).toEqual({ labelled: 0, earlier: 2, failed: 0 });
  });

  it("leaves out the folders it is told to", async () => {
    const options = await again("holding");
    await cp(photos, join(options.folder, "out"), { recursive: true });
    const exclude = new Set([await realpath(join(options.folder, "out"))]);
    const summary = await labelFolder({ ...options, exclude, detect: fake([]) });
    expect(summary).toEqual({ labelled: 0, earlier: 2, failed: 0 });
  });
});

describe("writeLabels", () => {
  it.each(["coco", "yolo", "voc"] as const)("%s is read back with every box and its score", async (format) => {
    const journalPath = join(root, format, "journal.jsonl");
    const target = join(root, format, "dataset");
    await labelFolder({ folder: photos, journalPath, settings, detect: fake([]) });
    const options = { folder: photos, journalPath, labels, format, about: { detector: "fake" } };
    const written = await writeLabels(target, options);
    const set = await openDetectionSet(target);
    expect(set.problems.filter(({ kind }) => kind !== "duplicate-image")).toEqual([]); // the pictures are alike
    expect([set.format, [...set.classes]]).toEqual([format, labels]);
    const images = set.splits.get("train") ?? [];
    const rows = await journalled(journalPath);
    expect([images.length, written.images]).toEqual([count + 1, count + 1]);
    const all = rows.flatMap(({ detections }) => detections);
    expect(written.boxes).toBe(all.length);
    const textOf = (box: readonly number[], label: string) => `${box.map((edge) => edge.toFixed(2))} ${label}`;
    const read = images.flatMap(({ boxes }) => boxes.map((box) => textOf(box.box, set.classes[box.class])));
    expect(read.sort()).toEqual(all.map(({ box, label }) => textOf(box, label)).sort());
    const scores = all.map(({ score }) => score).sort();
    if (format === "coco") {
      const own = images.flatMap(({ boxes }) => boxes.map(({ extra }) => extra?.score));
      expect(own.sort()).toEqual(scores);
    } else {
      const lines = (await readFile(join(target, "scores.jsonl"), "utf8")).trim().split("\n");
      const rows = lines.map((line) => JSON.parse(line) as { file: string; scores: number[] });
      expect(rows.flatMap((row) => row.scores).sort()).toEqual(scores);
      expect(rows.map(({ file }) => file)).toContain("p1-2.png"); // beside p1.jpg
    }
    await writeLabels(target, options); // takes the old one's place
    expect((await openDetectionSet(target)).fingerprint).toBe(set.fingerprint);
  });
});

describe("writeLabels of a folder that has changed since", () => {
  it.each(["coco", "yolo", "voc"] as const)("leaves out of %s what is gone, and says so", async (format) => {
    const [folder, journalPath] = [join(root, `gone-${format}`), join(root, `gone-${format}.jsonl`)];
    await cp(photos, folder, { recursive: true });
    await labelFolder({ folder, journalPath, settings, detect: fake([]) });
    const rows = await journalled(journalPath);
    const gone = rows.find(({ file, detections }) => detections.length > 0 && file !== rows[0].file) ?? rows[1];
    await rm(join(folder, gone.file));
    const target = join(root, `gone-${format}-set`);
    const written = await writeLabels(target, { folder, journalPath, labels, format, about: {} });
    expect(written).toMatchObject({ images: count, leftOut: [{ path: join(folder, gone.file) }] });
    expect(written.leftOut[0].error.message).toContain(`take its line out of ${journalPath}`);
    const set = await openDetectionSet(target);
    const found = new Map(set.splits.get("train")?.map(({ file, boxes }) => [file, boxes.length]));
    const kept = rows.filter(({ file }) => file !== gone.file);
    expect([...found.values()].sort()).toEqual(kept.map(({ detections }) => detections.length).sort());
    if (format === "coco") for (const { file, detections } of kept) expect(found.get(file)).toBe(detections.length);
    const page = join(root, `gone-${format}.html`);
    const leftOut = new Set(written.leftOut.map(({ path }) => path));
    await writeReviewPage(page, { folder, journalPath, labels, title: "one", identity: "one", leftOut });
    expect((await readFile(page, "utf8")).match(/"f":/g)?.length).toBe(count);
  });

  it("gives no picture the labels of the one that it replaced", async () => {
    const [folder, journalPath] = [join(root, "replaced"), join(root, "replaced.jsonl")];
    await cp(photos, folder, { recursive: true });
    await labelFolder({ folder, journalPath, settings, detect: fake([]) });
    await writeFile(join(folder, "p1.png"), "no picture any more");
    const target = join(root, "replaced-set");
    const written = await writeLabels(target, { folder, journalPath, labels, format: "coco", about: {} });
    expect(written).toMatchObject({ images: count, leftOut: [{ error: { code: "mismatch" } }] });
  });

  it("names the picture that cannot be copied", async () => {
    const [folder, journalPath] = [join(root, "blocked"), join(root, "blocked.jsonl")];
    await mkdir(folder);
    await copyFile(join(photos, "p1.png"), join(folder, "a.png"));
    await labelFolder({ folder, journalPath, settings, detect: fake([]) });
    await rm(join(folder, "a.png"));
    await mkdir(join(folder, "a.png")); // a folder in its place, by a journal of before
    const lines = await readFile(journalPath, "utf8");
    await writeFile(journalPath, lines.replace(/,"bytes":\d+,"changedMs":[\d.]+/, ""));
    const run = writeLabels(join(root, "blocked-set"), { folder, journalPath, labels, format: "coco", about: {} });
    await expect(run).rejects.toThrow(join(folder, "a.png"));
  });
});

it("pictures in a folder called images keep their labels as YOLO", async () => {
  const [folder, journalPath] = [join(root, "project"), join(root, "project.jsonl")];
  await cp(photos, join(folder, "images"), { recursive: true });
  await copyFile(join(photos, "p1.png"), join(folder, "p2.png")); // of a name that stands in images/ too
  await labelFolder({ folder, journalPath, settings, detect: fake([]) });
  const target = join(root, "project-set");
  const written = await writeLabels(target, { folder, journalPath, labels, format: "yolo", about: {} });
  expect(written).toMatchObject({ images: count + 2, leftOut: [] });
  const images = (await openDetectionSet(target)).splits.get("train") ?? [];
  expect(images.length).toBe(count + 2);
  expect(written.boxes).toBeGreaterThan(0);
  expect(images.reduce((sum, { boxes }) => sum + boxes.length, 0)).toBe(written.boxes);
});

describe("writeReviewPage", () => {
  it("holds every picture and box, and no name can break out of it", async () => {
    const journalPath = join(root, "page", "journal.jsonl");
    await labelFolder({ folder: photos, journalPath, settings, detect: fake([]) });
    const path = join(root, "page", "review.html");
    await writeReviewPage(path, { folder: photos, journalPath, labels, title: "</title><i>", identity: "one" });
    const html = await readFile(path, "utf8");
    expect(html).not.toContain("<b>dog");
    expect(html).not.toContain("</title><i>");
    const json = /<script type="application\/json" id="labels">([\s\S]*?)<\/script>/.exec(html)?.[1] ?? "";
    const data = JSON.parse(json) as { labels: string[]; pictures: { f: string; s: string; b: number[][] }[] };
    expect(data.labels).toEqual(labels);
    const rows = await journalled(journalPath);
    expect(data.pictures.map(({ f }) => f)).toEqual(rows.map(({ file }) => file));
    expect(data.pictures.map(({ b }) => b.length)).toEqual(rows.map(({ detections }) => detections.length));
    expect(data.pictures.find(({ f }) => f === "inner/p0.png")?.s).toBe("../photos/inner/p0.png");
  });
});
