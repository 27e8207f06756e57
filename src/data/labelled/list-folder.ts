import { readdir } from "node:fs/promises";
import { relative, sep } from "node:path";
import { fileError } from "../../io/file-errors.ts";
import { readCocoCaptions } from "../readers/coco-captions.ts";
import { readFolderOfClasses } from "../readers/folder-of-classes.ts";
import type { DatasetRecord, ReaderOptions } from "../readers/record.ts";
import type { LabelledEntry, ListContext } from "./entry.ts";
import type { SplitName } from "./labelled-set.ts";

/** The images of a folder with one subfolder a class; a class without images is made known too. */
export async function* listFolderOfClasses(
  folder: string,
  split: SplitName | undefined,
  context: ListContext,
): AsyncGenerator<LabelledEntry> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  for (const entry of entries.filter(({ name }) => !name.startsWith(".")).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) context.addClass(entry.name);
  }
  for await (const record of readFolderOfClasses(folder, readerOptions(context))) {
    const path = record.image as string; // this reader gives paths only
    const labels = record.label === undefined ? [] : [record.label];
    yield { key: keyOfFile(path, context.root), place: { kind: "file", path }, labels, texts: [], split, where: path };
  }
}

/** The images of a COCO captions file, each with all its captions. */
export async function* listCocoCaptions(
  path: string,
  split: SplitName | undefined,
  context: ListContext,
): AsyncGenerator<LabelledEntry> {
  const options = { ...readerOptions(context), imageFolder: context.imageFolder };
  for await (const record of readCocoCaptions(path, options)) yield captionedFile(record, path, split, context);
}

function captionedFile(
  { key, image, texts }: DatasetRecord,
  table: string,
  split: SplitName | undefined,
  { root }: ListContext,
): LabelledEntry {
  const path = image as string; // this reader gives paths only
  return {
    key: keyOfFile(path, root),
    place: { kind: "file", path },
    labels: [],
    texts,
    split,
    where: `${table}: ${key}`,
  };
}

/** What the readers are given: every problem is reported. */
export function readerOptions({ report, signal }: ListContext): ReaderOptions {
  return {
    signal,
    onProblem: ({ path, error }) => report(path, error),
  };
}

/** The key of an image file: its path from the set's folder, with "/" on every system; as it is where it lies outside. */
export function keyOfFile(path: string, root: string): string {
  const inside = relative(root, path);
  return (inside.startsWith("..") ? path : inside).split(sep).join("/");
}
