import { createHash } from "node:crypto";
import { basename, dirname, relative, resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import type { LabelledImage, LabelledSet } from "../../data/labelled/labelled-set.ts";
import {
  type OpenedLabelledSet,
  type OpenLabelledSetOptions,
  openLabelledSet,
} from "../../data/labelled/open-labelled-set.ts";
import { type FailedFile, type FoundFile, walkImageFiles } from "../../io/file-walk.ts";
import { decodeImage } from "../../io/images.ts";

/** A set with what was noticed as it was opened. */
export type OutsideSet = LabelledSet & Pick<OpenedLabelledSet, "notes">;

/**
 * Pictures of none of the labels: any labelled set, or a folder of pictures without order, whose subfolders then count
 * as its classes.
 *
 * @throws UserError as {@link openLabelledSet}; (empty) for a folder without pictures
 */
export async function openOutsideSet(path: string, options: OpenLabelledSetOptions = {}): Promise<OutsideSet> {
  try {
    return await openLabelledSet(path, options);
  } catch (error) {
    // A plain folder of pictures is no labelled set, and no reason to complain.
    if (!(error instanceof UserError) || !["unsupported", "empty"].includes(error.code)) throw error;
    const set = await plainFolder(path, options.signal);
    if (set) return set;
    throw error;
  }
}

async function plainFolder(path: string, signal: AbortSignal | undefined): Promise<OutsideSet | undefined> {
  const files: FoundFile[] = [];
  const problems: FailedFile[] = [];
  for await (const found of walkImageFiles([path], signal ? { signal } : {})) {
    if ("error" in found) problems.push(found);
    else files.push(found);
  }
  if (files.length === 0) return undefined;
  const root = resolve(path);
  const keyOf = (file: FoundFile) => relative(root, resolve(file.path)).replaceAll("\\", "/") || basename(file.path);
  const classes = [...new Set(files.map((file) => dirname(keyOf(file))))];
  const images = files.map((file): LabelledImage => {
    const key = keyOf(file);
    return { key, labels: [classes.indexOf(dirname(key))], texts: [] };
  });
  const places = new Map(images.map(({ key }, i) => [key, files[i].path]));
  const hash = createHash("sha256");
  for (const file of files) hash.update(JSON.stringify([keyOf(file), file.size, file.mtimeMs]));
  return {
    name: basename(root),
    path,
    format: "folder-of-classes",
    classes,
    isMultiLabel: false,
    splits: new Map([["train", images]]),
    problems,
    notes: [],
    fingerprint: hash.digest("hex"),
    decode: ({ key }) => decodeImage(places.get(key) ?? key),
    close: async () => undefined,
  };
}

/** The classes of an outside set that are named; all of them if none are. @throws UserError naming one that is not there */
export function namedClasses(set: LabelledSet, names: readonly string[] | undefined): ReadonlySet<number> {
  if (!names) return new Set(set.classes.keys());
  const unknown = names.find((name) => !set.classes.includes(name.trim()));
  if (unknown === undefined) return new Set(names.map((name) => set.classes.indexOf(name.trim())));
  const known = set.classes.slice(0, 8).join(", ");
  throw new UserError(
    "bad-argument",
    `${set.name}: must have every class of --outside-classes, got "${unknown.trim()}". It has ${known}, …`,
  );
}
