import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../core/errors.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { labelText } from "../readers/record.ts";
import type { ClassList } from "./entry.ts";

const fileNames = ["classes.json", "classes.txt", "class_names.txt", "classnames.txt", "labels.txt", "classes.names"];

export const noClassList: ClassList = { names: [], byIdentifier: new Map() };

/**
 * The class list beside a set, if there is one. JSON: an array of names, an array of objects (`name` or `names`, and an
 * identifier `id` or `wnid`), or an object from identifiers to names or from names to numbers. Text: a name a line.
 *
 * @throws UserError naming the file if it holds something else
 */
export async function readClassList(folder: string): Promise<ClassList> {
  const path = fileNames.map((name) => join(folder, name)).find((candidate) => existsSync(candidate));
  if (path === undefined) return noClassList;
  const text = await readUtf8(path);
  if (path.endsWith(".json")) return fromJson(path, text);
  const names = text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return classList(
    path,
    names.map((name, index) => ({ name, identifiers: [String(index)] })),
  );
}

interface NamedClass {
  readonly name: string;
  readonly identifiers: readonly string[];
}

function fromJson(path: string, text: string): ClassList {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError("corrupt", `${path}: must be JSON, got other text. Mend or delete it.`, { cause });
  }
  if (Array.isArray(value))
    return classList(
      path,
      value.map((item, index) => namedClass(path, item, index)),
    );
  if (typeof value !== "object" || value === null) throw listError(path, value);
  const pairs = Object.entries(value);
  if (pairs.every(([, index]) => Number.isInteger(index))) {
    const ordered = pairs.sort(([, a], [, b]) => Number(a) - Number(b)); // "class_to_idx"
    return classList(
      path,
      ordered.map(([name, index]) => ({ name, identifiers: [String(index)] })),
    );
  }
  return classList(
    path,
    pairs.map(([identifier, name]) => ({ ...namedClass(path, name, 0), identifiers: [identifier] })),
  );
}

function namedClass(path: string, item: unknown, index: number): NamedClass {
  if (typeof item === "string" && item.trim() !== "") return { name: item, identifiers: [String(index)] };
  if (typeof item !== "object" || item === null) throw listError(path, item);
  if (Array.isArray(item)) return namedClass(path, item.at(-1), index); // ImageNet's ["n01440764", "tench"]
  const fields = item as Record<string, unknown>;
  const name = fields.name ?? (Array.isArray(fields.names) ? (fields.names as unknown[])[0] : undefined);
  if (typeof name !== "string" || name.trim() === "") throw listError(path, item);
  const identifiers = [fields.id, fields.wnid].filter((id) => typeof id === "string" || typeof id === "number");
  return { name, identifiers: [...identifiers.map(String), ...(fields.id === undefined ? [String(index)] : [])] };
}

function listError(path: string, got: unknown): UserError {
  const shown = JSON.stringify(got)?.slice(0, 60);
  return new UserError("unsupported", `${path}: must list class names, got ${shown}. Mend or delete it.`);
}

/** Two classes of one name are told apart by their identifiers: "crane (n02012849)". */
function classList(path: string, classes: readonly NamedClass[]): ClassList {
  const inWords = classes.map(({ name }) => labelText(name));
  const counts = new Map<string, number>();
  for (const name of inWords) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = inWords.map((name, i) =>
    (counts.get(name) ?? 0) > 1 ? `${name} (${classes[i].identifiers[0] ?? i})` : name,
  );
  const byIdentifier = new Map<string, number>();
  classes.forEach(({ identifiers }, index) => {
    for (const identifier of identifiers) if (!byIdentifier.has(identifier)) byIdentifier.set(identifier, index);
  });
  return { path, names, byIdentifier };
}
