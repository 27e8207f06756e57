import { dirname, isAbsolute, join } from "node:path";
import { UserError } from "../../core/errors.ts";
import { readLines, readTextChunks, type TextEncoding } from "../../io/text-files.ts";
import { type ColumnNames, type ResolvedColumns, resolveColumns, rowTexts } from "./columns.ts";
import { DelimitedParser, type DelimitedRow, type Delimiter } from "./delimited-text.ts";
import { type DatasetRecord, type ReaderOptions, reportProblem, rowError } from "./record.ts";
import { isOfSplit } from "./table-splits.ts";

/** A row of a table as named fields. */
export interface TableRow {
  readonly place: string; // "captions.csv:12", for errors
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface TableOptions extends ReaderOptions {
  readonly columns?: ColumnNames;
  /** Rows of this split alone, by the split column; all if it is left out. */
  readonly split?: string;
  /** Where relative image paths start; the table's own folder if it is left out. */
  readonly imageFolder?: string;
}

/**
 * The rows of a CSV or TSV file with a header line. Malformed rows are problems; a header without an image column is
 * the caller's to judge.
 */
export async function* readDelimitedRows(
  path: string,
  delimiter: Delimiter,
  options: ReaderOptions = {},
): AsyncGenerator<TableRow> {
  let header: readonly string[] | undefined;
  for await (const row of parseFile(path, delimiter, options.encoding)) {
    options.signal?.throwIfAborted();
    const place = `${path}:${row.line}`;
    if (!header) {
      header = row.fields.map((name) => name.trim());
      if (row.problem !== undefined) throw new UserError("corrupt", `${place}: ${row.problem}. Mend the header.`);
      continue;
    }
    if (row.problem !== undefined || row.fields.length !== header.length) {
      const finding = row.problem ?? `must have ${header.length} fields as the header, got ${row.fields.length}`;
      reportProblem(options, place, rowError(place, finding));
      continue;
    }
    yield { place, fields: Object.fromEntries(header.map((name, i) => [name, row.fields[i]])) };
  }
}

async function* parseFile(
  path: string,
  delimiter: Delimiter,
  encoding: TextEncoding | undefined,
): AsyncGenerator<DelimitedRow> {
  const parser = new DelimitedParser(delimiter);
  for await (const chunk of readTextChunks(path, encoding)) yield* parser.push(chunk);
  yield* parser.end();
}

/** The rows of a JSON-lines file; a line that is no JSON object is a problem, a blank one nothing. */
export async function* readJsonRows(path: string, options: ReaderOptions = {}): AsyncGenerator<TableRow> {
  for await (const { number, text } of readLines(path, options.encoding)) {
    options.signal?.throwIfAborted();
    if (text.trim() === "") continue;
    const place = `${path}:${number}`;
    const fields = parseJsonObject(text);
    if (fields) yield { place, fields };
    else reportProblem(options, place, rowError(place, "must be one JSON object, got other text"));
  }
}

/** A JSON object, or undefined for any other text. */
export function parseJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined; // the caller reports the row, with its place
  }
}

/** Columns of each row, resolved anew only when a row's fields differ from those of the row before. */
export function columnResolver(wanted: ColumnNames, path: string): (row: TableRow) => ResolvedColumns {
  let lastNames = "";
  let resolved: ResolvedColumns | undefined;
  return ({ fields }) => {
    const names = Object.keys(fields);
    const joined = names.join("\n");
    if (!resolved || joined !== lastNames) resolved = resolveColumns(names, wanted, path);
    lastNames = joined;
    return resolved;
  };
}

/**
 * Image–text(–label) rows of a CSV, TSV or JSON-lines table, whose images are files. Image paths are relative to the
 * table's folder. Without an image column a CSV or TSV is refused, a JSON row is a problem.
 */
export async function* readImageTable(
  path: string,
  format: "csv" | "tsv" | "jsonl",
  options: TableOptions = {},
): AsyncGenerator<DatasetRecord> {
  const rows =
    format === "jsonl" ? readJsonRows(path, options) : readDelimitedRows(path, format === "csv" ? "," : "\t", options);
  const columnsOf = columnResolver(options.columns ?? {}, path);
  const folder = options.imageFolder ?? dirname(path);
  for await (const row of rows) {
    if (format !== "jsonl" && columnsOf(row).image === undefined) throw missingImageColumn(path, row);
    let record: DatasetRecord;
    try {
      const columns = columnsOf(row);
      if (!isOfSplit(row, columns, options.split)) continue;
      record = tableRecord(row, columns, folder);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reportProblem(options, row.place, error);
      continue;
    }
    yield record;
  }
}

function missingImageColumn(path: string, row: TableRow): UserError {
  const got = Object.keys(row.fields).join(", ");
  return new UserError(
    "bad-argument",
    `${path}: must have an image column (image, path, file, …), got ${got}. Name it.`,
  );
}

function tableRecord({ place, fields }: TableRow, columns: ResolvedColumns, folder: string): DatasetRecord {
  const image = columns.image === undefined ? undefined : fields[columns.image];
  if (typeof image !== "string" || image.trim() === "") {
    throw rowError(place, `must name an image file, got ${JSON.stringify(image) ?? "no image field"}`);
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(image)) {
    throw rowError(place, `image must be a file on this machine, got ${image.slice(0, 80)}`);
  }
  const { texts, label } = rowTexts(fields, columns, place);
  const key = columns.key === undefined ? image : String(fields[columns.key]);
  const file = image.trim();
  return { key, image: isAbsolute(file) ? file : join(folder, file), texts, ...(label !== undefined && { label }) };
}
