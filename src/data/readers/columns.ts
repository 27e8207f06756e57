import { UserError } from "../../core/errors.ts";
import { labelText, rowError } from "./record.ts";

/** Which columns (or JSON fields) hold what; those left out are found by their names. */
export interface ColumnNames {
  readonly image?: string;
  readonly text?: string | readonly string[];
  readonly label?: string;
  readonly key?: string;
  readonly split?: string;
}

/** The names looked for, best first; compared without case, spaces, "_" and "-". */
const IMAGE_NAMES = ["image", "imagepath", "path", "file", "filepath", "filename", "img", "photo", "picture"];
const TEXT_NAMES = ["text", "texts", "caption", "captions", "title", "sentence", "sentences", "description"];
const LABEL_NAMES = ["label", "labels", "class", "classname", "category"];
const KEY_NAMES = ["key", "id", "uid"];
const SPLIT_NAMES = ["split", "subset", "partition"];

/** The columns of one table, resolved. */
export interface ResolvedColumns {
  readonly image: string | undefined;
  readonly texts: readonly string[];
  readonly label: string | undefined;
  readonly key: string | undefined;
  readonly split: string | undefined;
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/[\s_-]/g, "");
}

/**
 * Finds the columns of a table by the names wanted, else by the usual ones.
 *
 * @param place  the table, for errors
 * @throws       UserError if a column that was asked for is missing
 */
export function resolveColumns(names: readonly string[], wanted: ColumnNames, place: string): ResolvedColumns {
  const find = (asked: string | undefined, usual: readonly string[]): string | undefined => {
    if (asked !== undefined) {
      if (names.includes(asked)) return asked;
      throw new UserError("bad-argument", `${place}: must have a column "${asked}", got ${names.join(", ")}.`);
    }
    for (const candidate of usual) {
      const found = names.find((name) => plainName(name) === candidate);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const askedTexts = typeof wanted.text === "string" ? [wanted.text] : wanted.text;
  const texts = askedTexts ? askedTexts.map((name) => find(name, [])) : [find(undefined, TEXT_NAMES)];
  return {
    image: find(wanted.image, IMAGE_NAMES),
    texts: texts.filter((name) => name !== undefined),
    label: find(wanted.label, LABEL_NAMES),
    key: find(wanted.key, KEY_NAMES),
    split: find(wanted.split, SPLIT_NAMES),
  };
}

/** What a row says about its image. */
export interface RowTexts {
  readonly texts: string[];
  readonly label?: string;
}

/**
 * Texts and label of one row: a text field may be a list; blank texts are dropped; without any text the label in words
 * is the text. A whole-number label becomes its digits.
 *
 * @throws UserError naming `place` if the row says nothing, or a field has another type
 */
export function rowTexts(row: Readonly<Record<string, unknown>>, columns: ResolvedColumns, place: string): RowTexts {
  const texts = rowCaptions(row, columns, place);
  const label = columns.label === undefined ? undefined : labelOf(row[columns.label], columns.label, place);
  if (texts.length === 0 && label === undefined) throw rowError(place, "must have a text or a label, got neither");
  if (texts.length === 0 && label !== undefined) texts.push(labelText(label));
  return { texts, ...(label !== undefined && { label }) };
}

/** The captions of one row, blank ones dropped. @throws UserError naming `place` if one is no text, or no UTF-8 */
export function rowCaptions(
  row: Readonly<Record<string, unknown>>,
  columns: Pick<ResolvedColumns, "texts">,
  place: string,
): string[] {
  const texts: string[] = [];
  for (const column of columns.texts) {
    const value = row[column] ?? [];
    for (const item of Array.isArray(value) ? value : [value]) {
      if (typeof item !== "string") throw rowError(place, `"${column}" must be a text, got ${JSON.stringify(item)}`);
      if (item.includes("\ufffd")) throw rowError(place, `"${column}" must be UTF-8, got other bytes`);
      if (item.trim() !== "") texts.push(item.trim());
    }
  }
  return texts;
}

/**
 * The labels of one row: a list, or names separated by "|" or ";"; none for a blank field. A whole-number label becomes
 * its digits.
 *
 * @throws UserError naming `place` if the field holds something else
 */
export function rowLabels(value: unknown, column: string, place: string): string[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  const labels = items.flatMap((item) => labelOf(item, column, place)?.split(/[|;]/) ?? []);
  return [...new Set(labels.map((label) => label.trim()).filter((label) => label !== ""))];
}

function labelOf(value: unknown, column: string, place: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  if (typeof value !== "string") throw rowError(place, `"${column}" must be a name, got ${JSON.stringify(value)}`);
  return value.trim() === "" ? undefined : value.trim();
}
