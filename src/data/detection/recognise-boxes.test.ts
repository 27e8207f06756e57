import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { holdsBoxes } from "./recognise-boxes.ts";

const root = mkdtempSync(join(tmpdir(), "florence-recognise-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const boxes = JSON.stringify({ images: [], categories: [{ id: 1 }], annotations: [{ bbox: [1, 2, 3, 4] }] });
const captions = JSON.stringify({ images: [], annotations: [{ caption: "A cat." }] });

it.each([
  { what: "Roboflow's COCO", files: { "train/_annotations.coco.json": boxes }, is: true },
  { what: "COCO's own layout", files: { "annotations/instances_val2017.json": boxes }, is: true },
  { what: "a COCO file", files: { "x.json": boxes }, at: "x.json", is: true },
  { what: "YOLO", files: { "data.yaml": "names: [cat]\ntrain: images\n" }, is: true },
  { what: "Pascal VOC", files: { "train/a.xml": "<annotation></annotation>" }, is: true },
  {
    what: "YOLO with the scores of its labels",
    files: { "data.yaml": "train: train/images\nnames: [cat]\n", "scores.jsonl": "{}\n" },
    is: true,
  },
  { what: "Pascal VOC likewise", files: { "train/a.xml": "<annotation>", "scores.jsonl": "{}\n" }, is: true },
  { what: "captions", files: { "x.json": captions }, at: "x.json", is: false },
  {
    what: "COCO with captions",
    files: { "annotations/captions_val2017.json": captions, "annotations/instances_val2017.json": boxes },
    is: false,
  },
  { what: "a table with a recipe beside it", files: { "a.csv": "file,label\n", "data.yaml": "names: x" }, is: false },
  { what: "class folders with other files", files: { "cat/a.xml": "<svg></svg>", "notes.yaml": "a: 1" }, is: false },
  { what: "a damaged file", files: { "x.json": "{" }, at: "x.json", is: false },
  { what: "nothing", files: {}, at: "nowhere", is: false },
])("tells $what: $is", async ({ what, files, at = "", is }) => {
  const folder = join(root, what);
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  expect(await holdsBoxes(join(folder, at))).toBe(is);
});
