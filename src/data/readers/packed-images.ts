import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../../core/errors.ts";
import { openPackedFile, type PackedFile } from "../../io/archives.ts";
import { fileError } from "../../io/file-errors.ts";
import { type ResolvedColumns, rowTexts } from "./columns.ts";
import { type DatasetRecord, reportProblem, rowError } from "./record.ts";
import { isOfSplit } from "./table-splits.ts";
import { columnResolver, readJsonRows, type TableOptions, type TableRow } from "./tables.ts";

export interface PackedOptions extends TableOptions {
  /** The file of concatenated images; found beside the table if it is left out. */
  readonly packedPath?: string;
}

/**
 * Images concatenated in one `.bin` (or `.bin.gz`, gzipped as a whole), with a JSON-lines table whose rows give
 * `offset` and `length` in the unpacked bytes, beside texts and label as in any table.
 */
export async function* readPackedImages(tablePath: string, options: PackedOptions = {}): AsyncGenerator<DatasetRecord> {
  const packed = await openPackedFile(options.packedPath ?? (await findPackedFile(tablePath)));
  const columnsOf = columnResolver(options.columns ?? {}, tablePath);
  try {
    for await (const row of readJsonRows(tablePath, options)) {
      let record: DatasetRecord;
      try {
        const columns = columnsOf(row);
        if (!isOfSplit(row, columns, options.split)) continue;
        record = await packedRecord(row, columns, packed);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        reportProblem(options, row.place, error);
        continue;
      }
      yield record;
    }
  } finally {
    await packed.close();
  }
}

async function packedRecord(row: TableRow, columns: ResolvedColumns, packed: PackedFile): Promise<DatasetRecord> {
  const { offset, length } = row.fields;
  if (typeof offset !== "number" || typeof length !== "number" || length === 0) {
    throw rowError(row.place, `must have offset and length, got ${JSON.stringify({ offset, length })}`);
  }
  const { texts, label } = rowTexts(row.fields, columns, row.place);
  const name = columns.image === undefined ? undefined : row.fields[columns.image];
  const key = columns.key !== undefined ? String(row.fields[columns.key]) : name === undefined ? offset : name;
  const image = await packed.read(offset, length);
  return { key: String(key), image, texts, ...(label !== undefined && { label }) };
}

/** `train.jsonl` goes with `train.….bin(.gz)`; where no name matches, with the only such file of the folder. */
export async function findPackedFile(tablePath: string): Promise<string> {
  const folder = dirname(tablePath);
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  const candidates = names.filter((name) => /\.bin(\.gz)?$/.test(name)).sort();
  const stem = basename(tablePath).replace(/\.[^.]*$/, "");
  const named = candidates.filter((name) => name.startsWith(`${stem}.`));
  const choices = named.length > 0 ? named : candidates;
  if (choices.length === 1) return join(folder, choices[0]);
  if (choices.length === 0) {
    throw new UserError("not-found", `${tablePath}: must have a .bin or .bin.gz beside it, got none in ${folder}.`);
  }
  throw new UserError("bad-argument", `${tablePath}: one .bin must match it, got ${choices.join(", ")}. Name it.`);
}
