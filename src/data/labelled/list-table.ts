import { basename, dirname, isAbsolute, join } from "node:path";
import { UserError } from "../../core/errors.ts";
import { textEncodingOf } from "../../io/text-files.ts";
import { unpackedFile } from "../../io/unpacked-files.ts";
import { type ResolvedColumns, rowCaptions, rowLabels } from "../readers/columns.ts";
import { findPackedFile } from "../readers/packed-images.ts";
import { labelText, rowError } from "../readers/record.ts";
import { columnResolver, readDelimitedRows, readJsonRows, type TableRow } from "../readers/tables.ts";
import type { ImagePlace, LabelledEntry, ListContext } from "./entry.ts";
import type { SplitName } from "./labelled-set.ts";
import { keyOfFile, readerOptions } from "./list-folder.ts";
import { splitOfWord } from "./split-names.ts";

/** A table of images: where it is, and how to read it. */
export interface ImageTable {
  readonly path: string;
  readonly format: "csv" | "tsv" | "jsonl" | "packed";
  readonly split?: SplitName;
}

interface OpenTable extends ImageTable {
  readonly packedPath?: string; // of the unpacked bytes
  readonly imageFolder: string;
  readonly context: ListContext;
}

/**
 * The rows of a CSV, TSV or JSON-lines table. Labels may be several, and may be columns of 0 and 1, one a class; a
 * `split` column divides the set. A table that is no UTF-8 is read as Windows-1252, and that is noted.
 */
export async function* listTable(table: ImageTable, context: ListContext): AsyncGenerator<LabelledEntry> {
  const { path, format } = table;
  const encoding = await textEncodingOf(path);
  if (encoding !== "utf-8") {
    const message = `${path}: is no UTF-8; its text is read as Windows-1252. Save it as UTF-8 if letters look wrong.`;
    context.note({ kind: "encoding", message });
  }
  const packedPath =
    format === "packed" ? await unpackedFile(await findPackedFile(path), context.cacheFolder) : undefined;
  const open = { ...table, packedPath, imageFolder: context.imageFolder ?? dirname(path), context };
  const options = { ...readerOptions(context), encoding };
  const isJson = format === "jsonl" || format === "packed";
  const rows = isJson ? readJsonRows(path, options) : readDelimitedRows(path, format === "csv" ? "," : "\t", options);
  const columnsOf = columnResolver(context.columns ?? {}, path);
  for await (const row of rows) {
    const columns = columnsOf(row);
    if (!isJson && columns.image === undefined) throw missingImageColumn(path, row);
    let entry: LabelledEntry;
    try {
      entry = tableEntry(row, columns, open);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      context.report(row.place, error);
      continue;
    }
    yield entry;
  }
}

function missingImageColumn(path: string, { fields }: TableRow): UserError {
  const rule = `${path}: must have an image column (image, path, file, …), got ${Object.keys(fields).join(", ")}`;
  return new UserError("bad-argument", `${rule}. Name it.`);
}

function tableEntry(row: TableRow, columns: ResolvedColumns, table: OpenTable): LabelledEntry {
  const { key, place } = imageOf(row, columns, table);
  const texts = rowCaptions(row.fields, columns, row.place);
  const labels = labelsOf(row, columns, table);
  if (labels === undefined && texts.length === 0) throw rowError(row.place, "must have a text or a label, got neither");
  const isBlank = labels?.length === 0 && texts.length === 0;
  const split = splitOfRow(row, columns) ?? table.split;
  return { key, place, labels: labels ?? [], texts, split, where: row.place, ...(isBlank && { isBlank }) };
}

function imageOf(row: TableRow, columns: ResolvedColumns, table: OpenTable): { key: string; place: ImagePlace } {
  const named = columns.image === undefined ? undefined : row.fields[columns.image];
  if (table.packedPath !== undefined) {
    const { offset, length } = row.fields;
    if (!isCount(offset) || !isCount(length) || length === 0) {
      throw rowError(row.place, `must have offset and length, got ${JSON.stringify({ offset, length })}`);
    }
    const name = typeof named === "string" && named.trim() !== "" ? named.trim() : String(offset);
    const key = splitOfWord(name.split("/")[0]) === undefined ? `${tableStem(table.path)}/${name}` : name;
    return { key, place: { kind: "range", path: table.packedPath, offset, length } };
  }
  if (typeof named !== "string" || named.trim() === "") {
    throw rowError(row.place, `must name an image file, got ${JSON.stringify(named) ?? "no image field"}`);
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(named)) {
    throw rowError(row.place, `image must be a file on this machine, got ${named.slice(0, 80)}`);
  }
  const file = named.trim().replaceAll("\\", "/"); // as tables written on Windows have it
  const path = isAbsolute(file) ? file : join(table.imageFolder, file);
  return { key: keyOfFile(path, table.context.root), place: { kind: "file", path } };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function tableStem(path: string): string {
  return basename(path).replace(/\.[^.]*$/, "");
}

/** The row's labels as written; undefined where the table has no labels at all. */
function labelsOf(row: TableRow, columns: ResolvedColumns, { context }: OpenTable): string[] | undefined {
  const { byIdentifier, names } = context.classList;
  if (columns.label === undefined) return oneHotLabels(row, columns, context);
  // Names may repeat in a class list ("crane"); an identifier beside the label says which one is meant.
  const identifier = row.fields.wnid ?? row.fields.class_id ?? row.fields.label_id;
  const index = byIdentifier.get(String(identifier));
  const labels = rowLabels(row.fields[columns.label], columns.label, row.place);
  if (labels.length === 1 && index !== undefined && names[index].startsWith(`${labelText(labels[0])} (`))
    return [names[index]];
  if (labels.some((label) => label.includes("\ufffd"))) {
    throw rowError(row.place, `"${columns.label}" must be UTF-8, got other bytes`);
  }
  return labels;
}

/** One column a class, holding 0 or 1, as Roboflow writes `_classes.csv`. */
function oneHotLabels({ fields }: TableRow, columns: ResolvedColumns, context: ListContext): string[] | undefined {
  if (columns.texts.length > 0) return undefined;
  const own = new Set([columns.image, columns.key, columns.split]);
  const classes = Object.entries(fields).filter(([name]) => !own.has(name));
  if (classes.length === 0 || !classes.every(([, value]) => /^\s*[01]\s*$/.test(String(value)))) return undefined;
  for (const [name] of classes) context.addClass(name);
  return classes.filter(([, value]) => Number(value) === 1).map(([name]) => name);
}

function splitOfRow({ fields, place }: TableRow, { split: column }: ResolvedColumns): SplitName | undefined {
  const value = column === undefined ? undefined : fields[column];
  if (value === undefined || value === null || value === "") return undefined;
  const split = typeof value === "string" ? splitOfWord(value.trim()) : undefined;
  if (split !== undefined) return split;
  throw rowError(place, `"${column}" must be train, val or test, got ${JSON.stringify(value)}`);
}
