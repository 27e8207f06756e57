import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { UserError } from "../../core/errors.ts";
import { fileError } from "../../io/file-errors.ts";
import type { DatasetFormat } from "../readers/open-dataset.ts";
import { readJsonRows } from "../readers/tables.ts";
import { findClassRoot, holdsImages } from "./class-root.ts";
import type { SetNote } from "./entry.ts";
import type { SplitName } from "./labelled-set.ts";
import { splitOfFileName, splitOfWord } from "./split-names.ts";

/** One thing that is listed for itself: a table, a tar, a folder of classes, a pair of idx files. */
export interface Part {
  readonly format: DatasetFormat;
  readonly path: string; // for idx: of the images
  readonly labelsPath?: string; // for idx
  readonly split?: SplitName;
}

const ACCEPTED =
  "a folder with one subfolder a class (or train, val, test above them), a .csv, .tsv or .jsonl table, webdataset .tar files, COCO captions .json, or MNIST's idx files";

const tarName = /\.(tar|tar\.gz|tgz)$/i;
const tableName = /\.(csv|tsv|jsonl|ndjson)$/i;
const idxImages = /images?[-.]idx3-ubyte(\.gz)?$/i;

/**
 * The parts of a dataset by its files' names and the first rows.
 *
 * @throws UserError: not-found, empty, unsupported (with the accepted formats), bad-argument (several candidates)
 */
export async function findParts(path: string, note: (note: SetNote) => void): Promise<Part[]> {
  const stats = await stat(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  const parts = stats.isDirectory() ? await partsOfFolder(path, note) : [await partOfFile(path)];
  if (parts.some(({ split }) => split !== undefined)) return parts;
  const split = stats.isDirectory() ? splitOfWord(basename(path)) : splitOfFileName(basename(path));
  if (split === undefined) return parts;
  if (split !== "train")
    note({ kind: "split-by-name", message: `${path}: is taken for the split "${split}" by its name.` });
  return parts.map((part) => ({ ...part, split }));
}

async function partOfFile(path: string): Promise<Part> {
  const name = path.toLowerCase();
  if (name.endsWith(".csv")) return { format: "csv", path };
  if (name.endsWith(".tsv")) return { format: "tsv", path };
  if (/\.(jsonl|ndjson)$/.test(name)) return { format: (await isPackedTable(path)) ? "packed" : "jsonl", path };
  if (tarName.test(name)) return { format: "webdataset", path };
  if (name.endsWith(".json")) return { format: "coco-captions", path };
  if (idxImages.test(name)) return idxPart(path);
  throw new UserError("unsupported", `${path}: must be ${ACCEPTED}, got another file.`);
}

/** Whether the first row that parses says where its image lies in a packed file. */
async function isPackedTable(path: string): Promise<boolean> {
  for await (const { fields } of readJsonRows(path, { onProblem: () => undefined })) {
    return typeof fields.offset === "number" && typeof fields.length === "number"; // malformed rows are reported later
  }
  return false;
}

function idxPart(path: string): Part {
  const stem = path.replace(idxImages, "");
  const ending = /images?([-.])idx3-ubyte(\.gz)?$/i.exec(path);
  const candidates = ["", ".gz"].map((packing) => `${stem}labels${ending?.[1] ?? "-"}idx1-ubyte${packing}`);
  const labelsPath = candidates.find((candidate) => existsSync(candidate));
  if (labelsPath === undefined) {
    throw new UserError(
      "not-found",
      `${path}: must have its labels beside it, got no ${basename(candidates[0])}(.gz).`,
    );
  }
  const split = /^t10k/i.test(basename(path)) ? "test" : splitOfFileName(basename(path));
  return { format: "idx", path, labelsPath, split };
}

async function partsOfFolder(folder: string, note: (note: SetNote) => void): Promise<Part[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  const names = entries
    .map(({ name }) => name)
    .filter((name) => !name.startsWith("."))
    .sort();
  if (names.length === 0) throw new UserError("empty", `${folder}: must be ${ACCEPTED}, got an empty folder.`);
  if (names.includes("images.bin") && names.includes("rows.jsonl")) {
    throw new UserError(
      "unsupported",
      `${folder}: must be pictures as they are, got prepared shards. Name their source.`,
    );
  }
  if (names.includes("metadata.jsonl")) return [await partOfFile(join(folder, "metadata.jsonl"))];
  const subfolders = names.filter((name) => entries.some((entry) => entry.name === name && !entry.isFile()));
  const divided = await splitFolders(folder, subfolders, note);
  if (divided !== undefined) return divided;
  const images = names.filter((name) => idxImages.test(name));
  if (images.length > 0) return unlessRepeated(images).map((name) => idxPart(join(folder, name)));
  const tars = names.filter((name) => tarName.test(name));
  if (tars.length > 0) return tars.map((name) => tarPart(folder, name));
  const tables = names.filter((name) => tableName.test(name));
  if (tables.length > 0) return partsOfTables(folder, tables, note);
  const captions = await captionFiles(folder, names);
  if (captions.length > 0) return captions;
  if (await holdsImages(subfolders.map((name) => join(folder, name))))
    return [{ format: "folder-of-classes", path: await findClassRoot(folder, note) }];
  throw new UserError("unsupported", `${folder}: must be ${ACCEPTED}, got a folder without any of these.`);
}

/** Of a file and its gzipped form, the former. */
function unlessRepeated(names: readonly string[]): string[] {
  return names.filter((name) => !name.endsWith(".gz") || !names.includes(name.slice(0, -3)));
}

function tarPart(folder: string, name: string): Part {
  return { format: "webdataset", path: join(folder, name), split: splitOfFileName(name) };
}

async function partsOfTables(
  folder: string,
  tables: readonly string[],
  note: (note: SetNote) => void,
): Promise<Part[]> {
  const parts = await Promise.all(tables.map((name) => partOfFile(join(folder, name))));
  if (parts.length === 1) return [{ ...parts[0], split: splitOfFileName(tables[0]) }];
  const divided = parts.map((part, i) => ({ ...part, split: splitOfFileName(tables[i]) }));
  const named = divided.filter(({ split }) => split !== undefined);
  if (named.length === 0) {
    throw new UserError("bad-argument", `${folder}: must hold one table, got ${tables.join(", ")}. Name one of them.`);
  }
  for (const { path } of divided.filter(({ split }) => split === undefined)) {
    note({ kind: "ignored", message: `${path}: belongs to no split by its name; it is not read.` });
  }
  return named;
}

/** COCO's own layout (`annotations/captions_val2017.json`), or the files in the folder itself. */
async function captionFiles(folder: string, names: readonly string[]): Promise<Part[]> {
  const inFolder = names.filter((name) => /captions.*\.json$/i.test(name)).map((name) => join(folder, name));
  const annotations = join(folder, "annotations");
  const below = names.includes("annotations") ? await readdir(annotations).catch(() => []) : [];
  const paths = [
    ...inFolder,
    ...below
      .filter((name) => /captions.*\.json$/i.test(name))
      .sort()
      .map((name) => join(annotations, name)),
  ];
  return paths.map((path) => ({ format: "coco-captions", path, split: splitOfFileName(basename(path)) }));
}

/**
 * The parts of a folder divided by subfolders named train, val(id), test, …; undefined if it is not. Where such a name
 * stands among folders of pictures with other names it is a class, unless both training and evaluation are there.
 */
async function splitFolders(
  folder: string,
  subfolders: readonly string[],
  note: (note: SetNote) => void,
): Promise<Part[] | undefined> {
  const splits = subfolders.filter((name) => splitOfWord(name) !== undefined);
  if (splits.length === 0) {
    if (subfolders.length !== 1) return undefined;
    const inside = join(folder, subfolders[0]); // a folder around the folder, as archives often unpack
    const inner = await readdir(inside).catch(() => [] as string[]);
    return inner.some((name) => splitOfWord(name) === "train") ? splitFolders(inside, inner, note) : undefined;
  }
  const others = subfolders.filter((name) => !splits.includes(name));
  const kinds = new Set(splits.map(splitOfWord));
  const foreign: string[] = [];
  for (const name of others) if (await holdsImages([join(folder, name)])) foreign.push(name);
  if (foreign.length > 0 && !(kinds.has("train") && kinds.size > 1)) return undefined;
  const parts: Part[] = [];
  for (const name of splits) {
    const path = join(folder, name);
    if (!(await stat(path)).isDirectory() || (await readdir(path)).length === 0) continue;
    try {
      const inner = await partsOfSplit(path, note);
      parts.push(...inner.map((part) => ({ ...part, split: splitOfWord(name) })));
    } catch (error) {
      if (!(error instanceof UserError && error.code === "unsupported")) throw error;
      note({ kind: "ignored", message: `${path}: has neither class folders nor a table; it is not read.` });
    }
  }
  if (parts.length === 0) return undefined;
  for (const name of foreign) {
    note({
      kind: "ignored",
      message: `${join(folder, name)}: is no split (train, val, test); its pictures are not read.`,
    });
  }
  return parts;
}

async function partsOfSplit(path: string, note: (note: SetNote) => void): Promise<Part[]> {
  const names = (await readdir(path)).filter((name) => !name.startsWith(".")).sort();
  if (names.includes("_classes.csv")) return [{ format: "csv", path: join(path, "_classes.csv") }];
  return partsOfFolder(path, note);
}
