import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join, relative, sep } from "node:path";
import type { Box } from "../../core/boxes.ts";
import { toErrorRecord } from "../../core/errors.ts";
import { imageExtensions, walkImageFiles } from "../../io/file-walk.ts";
import { readUtf8 } from "../../io/text-files.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import { ClassTable, detectionProblem, type ProblemSink, type RawImage, type RawSet, splitOf } from "./raw-set.ts";
import { parseVocXml, type VocAnnotation } from "./voc-xml.ts";

/** One annotation file and the folders its picture may be in. */
export interface VocFile {
  readonly split: SplitName;
  readonly path: string;
  readonly root: string; // of the split: names of pictures start here
  readonly imageFolders: readonly string[];
}

const xml: ReadonlySet<string> = new Set(["xml"]);

/**
 * The annotation files of a folder: beside their pictures, in one folder or one a split (Roboflow), or in `Annotations/`
 * with the splits in `ImageSets/Main/*.txt` (the VOC devkit). In one folder, `train.txt`, `val.txt` and `test.txt` may list the
 * names of each split; what none of them names belongs to the folder's. Empty if there are none.
 */
export async function findVocFiles(folder: string): Promise<VocFile[]> {
  const names = await readdir(folder);
  const annotations = names.find((name) => name.toLowerCase() === "annotations");
  if (annotations !== undefined) return devkitFiles(folder, join(folder, annotations));
  const found: VocFile[] = [];
  for (const name of names.sort()) {
    const split = splitOf(name);
    if (split && statSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory())
      found.push(...(await filesBelow(join(folder, name), split)));
  }
  if (found.length > 0) return found;
  const files = await filesBelow(folder, splitOf(basename(folder)) ?? "train");
  const splits = await listedSplits(folder);
  return files.map((file) => ({ ...file, split: splits?.get(basename(file.path, ".xml")) ?? file.split }));
}

async function filesBelow(root: string, split: SplitName): Promise<VocFile[]> {
  const inner = join(root, "Annotations");
  if (existsSync(inner)) return (await devkitFiles(root, inner)).map((file) => ({ ...file, split }));
  const found: VocFile[] = [];
  for await (const file of walkImageFiles([root], { extensions: xml })) {
    found.push({ split, path: file.path, root, imageFolders: [dirname(file.path), join(root, "images")] });
  }
  return found;
}

async function devkitFiles(folder: string, annotations: string): Promise<VocFile[]> {
  const splits = await listedSplits(join(folder, "ImageSets", "Main"));
  const found: VocFile[] = [];
  const pictures = ["JPEGImages", "images", "Images", "."].map((name) => join(folder, name)).filter(existsSync);
  for await (const { path } of walkImageFiles([annotations], { extensions: xml })) {
    const split = splits ? splits.get(basename(path, ".xml")) : "train";
    if (split) found.push({ split, path, root: pictures[0], imageFolders: pictures });
  }
  return found;
}

/** The split of each picture's name; undefined where there are no lists. */
async function listedSplits(folder: string): Promise<Map<string, SplitName> | undefined> {
  const splits = new Map<string, SplitName>();
  for (const name of ["train", "val", "test"]) {
    const path = join(folder, `${name}.txt`);
    if (!existsSync(path) || existsSync(join(folder, `${name}.xml`))) continue; // that of a picture called "train"
    for (const line of (await readUtf8(path)).split(/\r?\n/)) {
      const [picture] = line.trim().split(/\s+/);
      if (!picture) continue;
      const file = basename(picture.replaceAll("\\", "/"));
      const stem = imageExtensions.has(extname(file).slice(1).toLowerCase())
        ? file.slice(0, -extname(file).length)
        : file;
      for (const own of [picture, stem]) splits.set(own, splitOf(name) ?? "train");
    }
  }
  return splits.size > 0 ? splits : undefined;
}

interface ParsedFile {
  readonly file: VocFile;
  readonly annotation: VocAnnotation;
}

/**
 * Reads Pascal VOC files. Classes stand in the order of a `classes.txt` at the root if there is one, else by name.
 * VOC counts pixels from 1 and includes the last one; tools that write edges instead are known by a coordinate of 0,
 * which VOC cannot have, and then the whole set is read as edges.
 */
export async function readVoc(folder: string, files: readonly VocFile[], report: ProblemSink): Promise<RawSet> {
  const parsed: ParsedFile[] = [];
  for (const file of files) {
    try {
      parsed.push({ file, annotation: parseVocXml(file.path, await readUtf8(file.path)) });
    } catch (error) {
      const { code, message } = toErrorRecord(error);
      report({ path: file.path, error: { code, message }, kind: "bad-annotation", action: "left-out" });
    }
  }
  const hasEdges = parsed.some(({ annotation }) =>
    annotation.objects.some(({ bounds: [xmin, ymin] }) => xmin === 0 || ymin === 0),
  );
  const classes = await readClasses(folder, parsed);
  const images = parsed.map((one) => toRawImage(one, classes, hasEdges ? 0 : 1, report));
  await reportUnannotated(files, images, report);
  return { format: "voc", classes: classes.names, categories: classes.origins, images, about: {} };
}

async function readClasses(folder: string, parsed: readonly ParsedFile[]): Promise<ClassTable> {
  const classes = new ClassTable();
  const list = join(folder, "classes.txt");
  const names = existsSync(list)
    ? (await readUtf8(list)).split(/\r?\n/).map((line) => line.trim())
    : [...new Set(parsed.flatMap(({ annotation }) => annotation.objects.map(({ name }) => name)))].sort();
  for (const name of names) if (name !== "") classes.add(name, { id: classes.names.length });
  return classes;
}

function toRawImage(
  { file, annotation }: ParsedFile,
  { names }: ClassTable,
  origin: number,
  report: ProblemSink,
): RawImage {
  const path = picturePath(file, annotation.filename);
  const boxes = annotation.objects.flatMap(({ name, bounds, difficult, extra }, i) => {
    const id = i + 1; // its place in the file
    const ofClass = names.indexOf(name);
    if (ofClass < 0) {
      const finding = `an object's name must be one of the set's classes, got "${name}"`;
      report(detectionProblem("unknown-category", "left-out", { path: file.path, id, finding }));
      return [];
    }
    const [xmin, ymin, xmax, ymax] = bounds;
    const box: Box = [xmin - origin, ymin - origin, xmax, ymax];
    const rest = Object.keys(extra).length > 0 ? { extra } : {};
    return [{ place: file.path, id, class: ofClass, box, difficult, ...rest }];
  });
  const { width, height } = annotation;
  return {
    split: file.split,
    file: relative(file.root, path).split(sep).join("/"),
    path,
    place: file.path,
    unit: "pixels",
    boxes,
    ...(width && height ? { width, height } : {}),
  };
}

/** The picture that `<filename>` names; some tools leave it out or keep an old one, then that of the file's own name. */
function picturePath({ path, imageFolders }: VocFile, filename: string): string {
  const stem = basename(path, extname(path));
  const own = [...imageExtensions].flatMap((ending) => [`${stem}.${ending}`, `${stem}.${ending.toUpperCase()}`]);
  const named = filename === "" ? [] : [basename(filename.replaceAll("\\", "/"))];
  const candidates = [...named, ...own].flatMap((name) => imageFolders.map((folder) => join(folder, name)));
  return candidates.find((candidate) => existsSync(candidate)) ?? join(imageFolders[0], named[0] ?? `${stem}.jpg`);
}

/** Pictures beside the annotations that have none: nothing is known of them, so they are no background. */
async function reportUnannotated(
  files: readonly VocFile[],
  images: readonly RawImage[],
  report: ProblemSink,
): Promise<void> {
  const known = new Set(images.map(({ path }) => path));
  const folders = new Set(files.map(({ root }) => root));
  for await (const { path } of walkImageFiles(folders)) {
    if (known.has(path)) continue;
    const finding = "a picture must have an annotation file, got none";
    report(detectionProblem("missing-annotation", "left-out", { path, code: "not-found", finding }));
  }
}
