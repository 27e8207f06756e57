import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { imageExtensions, walkImageFiles } from "../../io/file-walk.ts";
import { readUtf8 } from "../../io/text-files.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import { ClassTable, detectionProblem, type ProblemSink, type RawImage, type RawSet } from "./raw-set.ts";
import { parseYoloLabels } from "./yolo-labels.ts";

const places = z.union([z.string(), z.array(z.string())]);
const configSchema = z.looseObject({
  path: z.string().optional(),
  train: places.nullish(),
  val: places.nullish(),
  valid: places.nullish(),
  test: places.nullish(),
  nc: z.number().int().optional(),
  names: z.union([z.array(z.coerce.string()), z.record(z.string(), z.coerce.string())]),
});
type YoloConfig = z.infer<typeof configSchema>;

/** The description of a YOLO set at a path: the YAML file itself, or the folder's `data.yaml`; undefined for none. */
export async function findYoloConfig(path: string): Promise<string | undefined> {
  if (/\.ya?ml$/i.test(path)) return path;
  if (!statSync(path).isDirectory()) return undefined;
  const names = (await readdir(path)).filter((name) => /\.ya?ml$/i.test(name)).sort();
  const name = names.find((candidate) => /^(data|dataset)\.ya?ml$/i.test(candidate)) ?? names[0];
  return names.length === 0 ? undefined : join(path, name);
}

/**
 * Reads a YOLO set: `data.yaml` names the classes and the pictures of each split (folders, or lists in .txt files); the
 * labels of `images/x.jpg` are in `labels/x.txt`. A picture without labels is background.
 *
 * @throws UserError naming the file: no YAML, without names, or naming pictures that are nowhere
 */
export async function readYolo(configPath: string, report: ProblemSink): Promise<RawSet> {
  const config = parseConfig(configPath, await readUtf8(configPath));
  const classes = new ClassTable();
  const classOf = addClasses(configPath, config, classes, report);
  const images: RawImage[] = [];
  for (const [split, entry] of splitsOf(config)) {
    for (const place of [entry].flat()) {
      const source = findPictures(configPath, config.path, place);
      if (!source) {
        const finding = `${split} must name pictures that are there, got "${place}"`;
        report(detectionProblem("missing-image", "left-out", { path: configPath, code: "not-found", finding }));
        continue;
      }
      for await (const picture of picturesOf(source, report)) {
        const file = relative(source.endsWith(".txt") ? dirname(source) : source, picture)
          .split(sep)
          .join("/");
        const labels = labelPath(picture);
        const text = existsSync(labels) ? await readUtf8(labels) : "";
        const boxes = parseYoloLabels(labels, text, classOf, report);
        images.push({ split, file, path: picture, place: labels, unit: "fractions", boxes });
      }
      await reportOrphans(source, images, report);
    }
  }
  return { format: "yolo", classes: classes.names, categories: classes.origins, images, about: {} };
}

function parseConfig(path: string, text: string): YoloConfig {
  const document = parseDocument(text, { strict: true, uniqueKeys: true });
  if (document.errors.length > 0) {
    const detail = document.errors[0].message.split("\n")[0];
    throw new UserError("corrupt", `${path}: must be YAML, got "${detail}". Mend the file.`);
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 10 }); // a handful is convenience, more is a bomb
  } catch (cause) {
    throw new UserError("corrupt", `${path}: must be plain YAML, got too many aliases. Mend the file.`, { cause });
  }
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path: where, message } = parsed.error.issues[0];
  const field = where.join(".") || "it";
  throw new UserError("corrupt", `${path}: must describe a YOLO set, got at ${field} "${message}". Mend the file.`);
}

function splitsOf({ train, val, valid, test }: YoloConfig): [SplitName, string | string[]][] {
  const entries: [SplitName, string | string[] | null | undefined][] = [
    ["train", train],
    ["val", val ?? valid],
    ["test", test],
  ];
  return entries.filter((entry): entry is [SplitName, string | string[]] => Boolean(entry[1]?.length));
}

/** The class of each number that label files use. */
function addClasses(path: string, { names, nc }: YoloConfig, classes: ClassTable, report: ProblemSink): number[] {
  const numbered = Array.isArray(names) ? names.map((name, i) => [i, name] as const) : numberedNames(path, names);
  if (nc !== undefined && nc !== numbered.length) {
    throw new UserError("mismatch", `${path}: nc must be the number of names, ${numbered.length}, got ${nc}. Mend it.`);
  }
  return numbered.map(([number, name]) => {
    const { index, isNew } = classes.add(name, { id: number });
    if (!isNew) {
      const finding = `class names must differ, got "${name}" again; both are one class`;
      report(detectionProblem("duplicate-class", "mended", { path, id: number, finding }));
    }
    return index;
  });
}

function numberedNames(path: string, names: Readonly<Record<string, string>>): [number, string][] {
  const numbered = Object.entries(names).map(([key, name]): [number, string] => [Number(key), name]);
  numbered.sort(([a], [b]) => a - b);
  if (numbered.every(([number], i) => number === i)) return numbered;
  const got = Object.keys(names).slice(0, 5).join(", ");
  throw new UserError("corrupt", `${path}: names must be numbered 0, 1, 2, …, got ${got}. Mend the file.`);
}

/**
 * Where the pictures of a split are. Roboflow writes `../train/images` for what is `train/images` beside the file, and
 * `path` is often that of the machine the set was made on: the places that exist are taken in this order.
 */
function findPictures(configPath: string, base: string | undefined, place: string): string | undefined {
  const folder = dirname(resolve(configPath));
  const inside = place.replace(/^(\.\.?[\\/])+/, "");
  const candidates = [
    ...(base === undefined ? [] : [resolve(folder, base, place)]),
    resolve(folder, place),
    resolve(folder, inside),
  ];
  return candidates.find((candidate) => existsSync(candidate));
}

/** Pictures of a folder, or those that a .txt file lists. */
async function* picturesOf(source: string, report: ProblemSink): AsyncGenerator<string> {
  if (!source.endsWith(".txt")) {
    for await (const file of walkImageFiles([source])) {
      if (!("error" in file)) yield file.path;
      else report({ ...file, kind: "unreadable-image", action: "left-out" });
    }
    return;
  }
  for (const line of (await readUtf8(source)).split(/\r?\n/)) {
    if (line.trim() !== "") yield resolve(dirname(source), line.trim());
  }
}

/** The label file of a picture: the last folder `images` of its path becomes `labels`. */
function labelPath(picture: string): string {
  const parts = picture.slice(0, picture.length - extname(picture).length).split(sep);
  const at = parts.lastIndexOf("images");
  if (at >= 0) parts[at] = "labels";
  return `${parts.join(sep)}.txt`;
}

/** Label files whose picture is not there. */
async function reportOrphans(source: string, images: readonly RawImage[], report: ProblemSink): Promise<void> {
  const parts = source.split(sep);
  const at = parts.lastIndexOf("images");
  if (at < 0 || source.endsWith(".txt")) return;
  const folder = [...parts.slice(0, at), "labels", ...parts.slice(at + 1)].join(sep);
  if (!existsSync(folder)) return;
  const known = new Set(images.map(({ place }) => place));
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const path = join(folder, name);
    if (!name.endsWith(".txt") || known.has(path)) continue;
    const finding = `labels must have a picture (${[...imageExtensions].slice(0, 3).join(", ")}, …), got none`;
    report(detectionProblem("missing-image", "left-out", { path, code: "not-found", finding }));
  }
}
