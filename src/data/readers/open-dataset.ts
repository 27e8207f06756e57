import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../core/errors.ts";
import { fileError } from "../../io/file-errors.ts";
import { walkImageFiles } from "../../io/file-walk.ts";
import { readCocoCaptions } from "./coco-captions.ts";
import type { ColumnNames } from "./columns.ts";
import { readFolderOfClasses } from "./folder-of-classes.ts";
import { readPackedImages } from "./packed-images.ts";
import type { DatasetRecord, ReaderOptions } from "./record.ts";
import { requireOneSplit, splitNamed } from "./table-splits.ts";
import { columnResolver, readDelimitedRows, readImageTable, readJsonRows } from "./tables.ts";
import { readWebdataset } from "./webdataset.ts";

/** The formats that can be read; `idx` (MNIST's) as a labelled set only. */
export type DatasetFormat =
  | "folder-of-classes"
  | "csv"
  | "tsv"
  | "jsonl"
  | "packed"
  | "webdataset"
  | "coco-captions"
  | "idx";

export interface OpenDatasetOptions extends ReaderOptions {
  readonly columns?: ColumnNames;
  readonly imageFolder?: string;
  /** The split to read of a table with a split column, or of a folder of splits. */
  readonly split?: string;
}

/** A dataset whose format is known; `records` may be iterated again, and reads the files anew each time. */
export interface OpenedDataset {
  readonly format: DatasetFormat;
  readonly path: string;
  records(): AsyncIterable<DatasetRecord>;
}

const ACCEPTED =
  "a folder with one subfolder a class, a .csv, .tsv or .jsonl table (metadata.jsonl in a folder), webdataset .tar files, or COCO captions .json";

const SPLIT_NAMES = new Set(["train", "training", "val", "valid", "validation", "test", "dev"]);

/**
 * Opens a dataset, guessing its format from the path and the first row.
 *
 * @throws UserError: not-found, empty, unsupported (with the accepted formats), bad-argument (several candidates)
 */
export async function openDataset(path: string, options: OpenDatasetOptions = {}): Promise<OpenedDataset> {
  const stats = await stat(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  return stats.isDirectory() ? openFolder(path, options) : openFile(path, options);
}

async function openFile(path: string, options: OpenDatasetOptions): Promise<OpenedDataset> {
  const name = path.toLowerCase();
  const opened = (format: DatasetFormat, records: () => AsyncIterable<DatasetRecord>) => ({ format, path, records });
  if (name.endsWith(".csv") || name.endsWith(".tsv")) {
    const format = name.endsWith(".csv") ? "csv" : "tsv";
    await checkSplits(path, format, options);
    return opened(format, () => readImageTable(path, format, options));
  }
  if (/\.(jsonl|ndjson)$/.test(name)) {
    await checkSplits(path, "jsonl", options);
    if (await isPackedTable(path)) return opened("packed", () => readPackedImages(path, options));
    return opened("jsonl", () => readImageTable(path, "jsonl", options));
  }
  refuseSplit(path, options);
  if (/\.(tar|tar\.gz|tgz)$/.test(name)) return opened("webdataset", () => readWebdataset([path], options));
  if (name.endsWith(".json")) return opened("coco-captions", () => readCocoCaptions(path, options));
  throw new UserError("unsupported", `${path}: must be ${ACCEPTED}, got another file.`);
}

/** Reads a table's rows once through, which takes no time beside its pictures: all else is told when they are read. */
async function checkSplits(path: string, format: "csv" | "tsv" | "jsonl", options: OpenDatasetOptions): Promise<void> {
  const { columns = {}, split, encoding, signal } = options;
  const quiet = { onProblem: () => undefined, ...(encoding && { encoding }), ...(signal && { signal }) };
  const rows =
    format === "jsonl" ? readJsonRows(path, quiet) : readDelimitedRows(path, format === "csv" ? "," : "\t", quiet);
  const wanted = columns.split === undefined ? {} : { split: columns.split }; // other columns may be missing in a row
  await requireOneSplit(path, rows, columnResolver(wanted, path), split);
}

function refuseSplit(path: string, { split }: OpenDatasetOptions): void {
  if (split === undefined) return;
  const rule = `${path}: a split is of a table with a split column, or of a folder of splits`;
  throw new UserError("bad-argument", `${rule}; got ${split} for other data. Leave out --split.`);
}

/** Whether the first row that parses says where its image lies in a packed file. */
async function isPackedTable(path: string): Promise<boolean> {
  for await (const { fields } of readJsonRows(path, { onProblem: () => undefined })) {
    return typeof fields.offset === "number" && typeof fields.length === "number"; // malformed rows are reported when read
  }
  return false;
}

async function openFolder(folder: string, options: OpenDatasetOptions): Promise<OpenedDataset> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  const names = entries.map((entry) => entry.name).filter((name) => !name.startsWith("."));
  if (names.length === 0) throw new UserError("empty", `${folder}: must be ${ACCEPTED}, got an empty folder.`);
  if (names.includes("images.bin") && names.includes("rows.jsonl")) {
    throw new UserError("unsupported", `${folder}: must be a dataset to prepare, got prepared shards. Train on them.`);
  }
  if (names.includes("metadata.jsonl")) return openFile(join(folder, "metadata.jsonl"), options);
  const tars = names.filter((name) => /\.(tar|tar\.gz|tgz)$/i.test(name)).sort();
  if (tars.length > 0) {
    refuseSplit(folder, options);
    const paths = tars.map((name) => join(folder, name));
    return { format: "webdataset", path: folder, records: () => readWebdataset(paths, options) };
  }
  const tables = names.filter((name) => /\.(csv|tsv|jsonl|ndjson)$/i.test(name)).sort();
  if (tables.length === 1) return openFile(join(folder, tables[0]), options);
  if (tables.length > 1) {
    throw new UserError("bad-argument", `${folder}: must hold one table, got ${tables.join(", ")}. Name one of them.`);
  }
  const subfolders = names.filter((name) => entries.some((entry) => entry.name === name && !entry.isFile()));
  return openClasses(folder, subfolders, options);
}

async function openClasses(
  folder: string,
  subfolders: readonly string[],
  options: OpenDatasetOptions,
): Promise<OpenedDataset> {
  if (subfolders.length > 0 && subfolders.every((name) => SPLIT_NAMES.has(name.toLowerCase()))) {
    const { split, ...rest } = options;
    const chosen = subfolders.find((name) => split !== undefined && splitNamed(name) === splitNamed(split));
    if (chosen !== undefined) return openFolder(join(folder, chosen), rest);
    const splits = subfolders.map((name) => join(folder, name)).join(", ");
    throw new UserError("bad-argument", `${folder}: must be one split, got several folders. Name one of ${splits}.`);
  }
  refuseSplit(folder, options);
  for await (const file of walkImageFiles(subfolders.map((name) => join(folder, name)).filter(existsSync))) {
    if ("error" in file) continue; // reported when the records are read
    return { format: "folder-of-classes", path: folder, records: () => readFolderOfClasses(folder, options) };
  }
  throw new UserError("unsupported", `${folder}: must be ${ACCEPTED}, got a folder without any of these.`);
}
