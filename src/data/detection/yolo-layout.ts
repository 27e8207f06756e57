import { existsSync, realpathSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { readUtf8 } from "../../io/text-files.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import { ClassTable, detectionProblem, type ProblemSink, type RawImage, type RawSet } from "./raw-set.ts";
import { parseYoloLabels } from "./yolo-labels.ts";
import { commonRoot, findPictures, labelPath, picturesOf, reportOrphans } from "./yolo-pictures.ts";

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
  for (const [split, sources] of await findSources(configPath, config, report)) {
    const pictures: string[] = [];
    for (const source of sources) for await (const picture of picturesOf(source, report)) pictures.push(picture);
    const root = commonRoot(sources, pictures);
    for (const picture of pictures) {
      const labels = labelPath(picture);
      const text = existsSync(labels) ? await readUtf8(labels) : "";
      const boxes = parseYoloLabels(labels, text, classOf, report);
      const file = relative(root, picture).split(sep).join("/");
      images.push({ split, file, path: picture, place: labels, unit: "fractions", boxes });
    }
    for (const source of sources) await reportOrphans(source, images, report);
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

/** The folders and lists of each split that are there. */
async function findSources(
  configPath: string,
  config: YoloConfig,
  report: ProblemSink,
): Promise<Map<SplitName, string[]>> {
  const found = new Map<SplitName, string[]>();
  for (const [split, entry] of splitsOf(config)) {
    for (const place of [entry].flat()) {
      const source = findPictures(configPath, config.path, place);
      if (source) found.set(split, [...(found.get(split) ?? []), source]);
      else {
        const finding = `${split} must name pictures that are there, got "${place}"`;
        report(detectionProblem("missing-image", "left-out", { path: configPath, code: "not-found", finding }));
      }
    }
  }
  return withoutRepeatedSplits(configPath, found, report);
}

/**
 * Leaves out a split that names the very places of another, as sets made for trying things out do (coco128): all pictures
 * stay in training then, and nothing is scored on them.
 */
function withoutRepeatedSplits(
  configPath: string,
  found: Map<SplitName, string[]>,
  report: ProblemSink,
): Map<SplitName, string[]> {
  const placesOf = (split: SplitName) =>
    JSON.stringify((found.get(split) ?? []).map((source) => realpathSync(source)).sort());
  for (const [kept, dropped] of [
    ["train", "val"],
    ["train", "test"],
    ["test", "val"],
  ] as const) {
    if (!found.has(kept) || !found.has(dropped) || placesOf(kept) !== placesOf(dropped)) continue;
    found.delete(dropped);
    const finding = `${dropped} must have other pictures than ${kept}, got the same places`;
    report(detectionProblem("split-overlap", "left-out", { path: configPath, finding }));
  }
  return found;
}

/** The class of each number that label files use. */
function addClasses(path: string, { names, nc }: YoloConfig, classes: ClassTable, report: ProblemSink): number[] {
  const numbered = Array.isArray(names) ? names.map((name, i) => [i, name] as const) : numberedNames(path, names);
  if (nc !== undefined && nc !== numbered.length) {
    throw new UserError("mismatch", `${path}: nc must be the number of names, ${numbered.length}, got ${nc}. Mend it.`);
  }
  return numbered.map(([number, name]) => {
    const { index, isNew } = classes.add(name.trim(), { id: number }); // as labels are compared everywhere
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
