import { appendFile, mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
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
