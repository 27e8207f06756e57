import { UserError } from "../../core/errors.ts";
import { splitOfWord } from "../labelled/split-names.ts";
import type { ResolvedColumns } from "./columns.ts";
import type { TableRow } from "./tables.ts";

/** What a word for a split stands for: "Valid" and "dev" for "val"; a word of one's own for itself. */
export function splitNamed(word: string): string {
  return splitOfWord(word.trim()) ?? word.trim().toLowerCase();
}

/** The split of a row: "" where its field is blank, undefined where the table has no such column. */
export function splitOfRow({ fields }: TableRow, { split: column }: ResolvedColumns): string | undefined {
  return column === undefined ? undefined : splitNamed(String(fields[column] ?? ""));
}

/** Whether a row is of the wanted split, or none is wanted. */
export function isOfSplit(row: TableRow, columns: ResolvedColumns, wanted: string | undefined): boolean {
  return wanted === undefined || splitOfRow(row, columns) === splitNamed(wanted);
}

/**
 * Requires that the rows to be read are of one split: rows for test would else be trained on.
 *
 * @throws UserError (bad-argument) naming the splits that the table has
 */
export async function requireOneSplit(
  path: string,
  rows: AsyncIterable<TableRow>,
  columnsOf: (row: TableRow) => ResolvedColumns,
  wanted: string | undefined,
): Promise<void> {
  const found = new Set<string>();
  let column: string | undefined;
  for await (const row of rows) {
    const columns = columnsOf(row);
    const split = splitOfRow(row, columns);
    if (split === undefined) continue;
    column ??= columns.split;
    found.add(split);
  }
  const names = [...found].map((split) => (split === "" ? "blank" : split)).join(", ");
  if (wanted !== undefined && !found.has(splitNamed(wanted))) {
    const got = column === undefined ? "no column of splits" : names;
    throw new UserError("bad-argument", `${path}: must have rows of the split ${wanted}, got ${got}. Choose another.`);
  }
  if (wanted === undefined && found.size > 1) {
    throw new UserError(
      "bad-argument",
      `${path}: must be one split, got ${names} in "${column}". Choose one (--split).`,
    );
  }
}
