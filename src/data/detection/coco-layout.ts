import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileError } from "../../io/file-errors.ts";
import { type CocoFile, CocoReader } from "./coco-json.ts";
import { ClassTable, detectionProblem, type ProblemSink, type RawImage, type RawSet, splitOf } from "./raw-set.ts";

const ROBOFLOW_NAME = "_annotations.coco.json";

/**
 * The COCO files of a path: one JSON file, Roboflow's `<split>/_annotations.coco.json`, or COCO's own layout of
 * `annotations/instances_<split>.json` beside the folders of pictures.
 */
export async function findCocoFiles(path: string): Promise<CocoFile[]> {
  const stats = await stat(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  if (!stats.isDirectory()) {
    if (!path.toLowerCase().endsWith(".json")) return [];
    const folder = dirname(path);
    const split = splitOf(basename(path)) ?? splitOf(basename(folder)) ?? "train";
    return [{ split, path, imageFolder: basename(folder) === "annotations" ? pictureFolder(path) : folder }];
  }
  const own = join(path, ROBOFLOW_NAME);
  if (existsSync(own)) return [{ split: splitOf(basename(path)) ?? "train", path: own, imageFolder: path }];
  const found: CocoFile[] = [];
  for (const name of (await readdir(path)).sort()) {
    const file = join(path, name, ROBOFLOW_NAME);
    const split = splitOf(name);
    if (split && existsSync(file)) found.push({ split, path: file, imageFolder: join(path, name) });
  }
  return found.length > 0 ? found : officialFiles(path);
}

async function officialFiles(path: string): Promise<CocoFile[]> {
  const folder = join(path, "annotations");
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).sort();
  const boxed = names.filter((name) => !/^(captions|person_keypoints|panoptic|stuff|image_info)_/.test(name));
  return boxed.map((name) => {
    const file = join(folder, name);
    return { split: splitOf(name) ?? "train", path: file, imageFolder: pictureFolder(file) };
  });
}

/** Where the pictures of `<root>/annotations/instances_val2017.json` are: `val2017` or `val`, at the root or in images/. */
function pictureFolder(file: string): string {
  const root = dirname(dirname(file));
  const name = basename(file, ".json").replace(/^instances_/, "");
  const candidates = [name, name.replace(/\d+$/, ""), splitOf(name) === "val" ? "valid" : name];
  const folders = candidates.flatMap((candidate) => [join(root, candidate), join(root, "images", candidate)]);
  return [...folders, join(root, "images")].find((folder) => existsSync(folder)) ?? root;
}

/** Reads COCO files into one set; classes of one name are one class across files. */
export async function readCoco(files: readonly CocoFile[], report: ProblemSink): Promise<RawSet> {
  const classes = new ClassTable();
  const images: RawImage[] = [];
  const about: Record<string, unknown> = {};
  for (const file of files) {
    const reader = new CocoReader(file, report);
    images.push(...(await reader.read(classes)));
    Object.assign(about, { [file.split]: reader.about });
  }
  const set = { format: "coco" as const, classes: classes.names, categories: classes.origins, images, about };
  return withoutSuperclass(set, files[0].path, report);
}

/** Roboflow writes the project's name as category 0, above the real ones; it has no box and is no class. */
function withoutSuperclass(set: RawSet, path: string, report: ProblemSink): RawSet {
  const { classes, categories, images } = set;
  const parent = (index: number) => categories[index].extra?.supercategory;
  const isSuperclass =
    classes.length > 1 &&
    categories[0].id === 0 &&
    parent(0) === "none" &&
    classes.every((_, i) => i === 0 || parent(i) === classes[0]) &&
    images.every(({ boxes }) => boxes.every((box) => box.class !== 0));
  if (!isSuperclass) return set;
  const finding = `a class must be of objects, got "${classes[0]}", which groups all others and has no box`;
  report(detectionProblem("superclass", "left-out", { path, id: 0, finding }));
  return {
    ...set,
    classes: classes.slice(1),
    categories: categories.slice(1),
    images: images.map((image) => ({ ...image, boxes: image.boxes.map((box) => ({ ...box, class: box.class - 1 })) })),
  };
}
