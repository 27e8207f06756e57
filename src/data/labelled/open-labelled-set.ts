import { stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import { cacheFolderFrom } from "../../io/cache-folder.ts";
import { failedFile } from "../../io/file-walk.ts";
import type { ColumnNames } from "../readers/columns.ts";
import type { DatasetProblem } from "../readers/record.ts";
import { readClassList } from "./class-list.ts";
import { type ClassNames, classNames } from "./class-names.ts";
import {
  collectEntries,
  type FoundEntry,
  type OpenProgress,
  withIdentities,
  withoutUnlabelled,
} from "./collect-entries.ts";
import type { ClassList, ImagePlace, LabelledEntry, ListContext, SetNote } from "./entry.ts";
import { type ByteIdentity, ImageStore } from "./image-store.ts";
import type { LabelledImage, LabelledSet } from "./labelled-set.ts";
import { findParts, type Part } from "./layout.ts";
import { classesOfLabelFile } from "./list-idx.ts";
import { fingerprintOf, groupBySplit, noteClassGaps } from "./set-summary.ts";

export interface OpenLabelledSetOptions {
  /** What reports call the set; its folder's name if it is left out. */
  readonly name?: string;
  /** Which columns of a table (or fields of JSON) hold what; found by their names if left out. */
  readonly columns?: ColumnNames;
  /** Where a table's relative image paths start; its own folder if left out. */
  readonly imageFolder?: string;
  /** The classes in their order, instead of those of a `classes.json` or `classes.txt` beside the data. */
  readonly classes?: readonly string[];
  /** Where gzipped containers are unpacked; the cache folder of the environment if left out. */
  readonly cacheFolder?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: OpenProgress;
}

/** A labelled set with what was noticed on the way, and access to its undecoded bytes. */
export interface OpenedLabelledSet extends LabelledSet {
  readonly notes: readonly SetNote[];
  /** Size and sampled digest of an image's bytes. */
  identityOf(image: LabelledImage): ByteIdentity;
  placeOf(image: LabelledImage): ImagePlace;
  /** An image's bytes as they are stored; grey pixels for idx. @throws UserError */
  readBytes(image: LabelledImage): Promise<Uint8Array>;
}

/**
 * Opens a labelled or captioned set, guessing its format. Formats: a folder with one subfolder a class, also below
 * train, val(id) and test; CSV, TSV and JSON-lines tables with images as files or packed; COCO captions; webdataset tars;
 * MNIST's idx files. Rows and files that cannot be used are `problems`; no image is decoded.
 *
 * @throws UserError: not-found, empty (no usable image), unsupported (with the accepted formats), bad-argument
 */
export async function openLabelledSet(path: string, options: OpenLabelledSetOptions = {}): Promise<OpenedLabelledSet> {
  const notes: SetNote[] = [];
  const note = (one: SetNote): void => void notes.push(one);
  const problems: DatasetProblem[] = [];
  const report = (place: string, error: unknown): void => void problems.push(failedFile(place, error));
  const parts = await findParts(path, note);
  const root = resolve((await stat(path)).isDirectory() ? path : dirname(path));
  const classList = await findClassList(parts, root, options.classes);
  const labelCounts = new Map<string, number>();
  const context: ListContext = {
    ...options,
    root,
    cacheFolder: options.cacheFolder ?? cacheFolderFrom(process.env),
    classList,
    report,
    note,
    addClass: (name) => void labelCounts.set(name, labelCounts.get(name) ?? 0),
  };
  const store = new ImageStore();
  try {
    const listed = await collectEntries(parts, context, store, options.onProgress);
    const present = await withIdentities(listed, store, context, options.onProgress);
    const entries = withoutUnlabelled(present, report);
    if (entries.length === 0) throw emptySetError(path, problems);
    for (const label of entries.flatMap(({ labels }) => labels))
      labelCounts.set(label, (labelCounts.get(label) ?? 0) + 1);
    const classes = classNames(labelCounts, classList, note);
    const images = entries.map((entry) => toImage(entry, classes));
    const splits = groupBySplit(entries, images);
    noteClassGaps(splits, classes.names, note);
    const found = new Map(entries.map((entry) => [entry.key, entry]));
    const entryOf = (image: LabelledImage): FoundEntry => foundEntry(found, image, path);
    return {
      name: options.name ?? basename(resolve(path)).replace(/\.(csv|tsv|jsonl|ndjson|json|tar|tar\.gz|tgz)$/i, ""),
      path,
      format: parts[0].format,
      classes: classes.names,
      isMultiLabel: images.some(({ labels }) => labels.length > 1),
      splits,
      problems,
      notes,
      fingerprint: fingerprintOf(entries, images, classes.names),
      decode: async (image) => store.decode(entryOf(image).place, `${path}: ${image.key}`),
      readBytes: async (image) => store.read(entryOf(image).place),
      identityOf: (image) => entryOf(image).identity,
      placeOf: (image) => entryOf(image).place,
      close: () => store.close(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function findClassList(
  parts: readonly Part[],
  root: string,
  given: readonly string[] | undefined,
): Promise<ClassList> {
  const numbered = (names: readonly string[]): ClassList => ({
    names,
    byIdentifier: new Map(names.map((_, index) => [String(index), index])),
  });
  if (given !== undefined) return numbered(given);
  const list = await readClassList(root);
  const labelsPath = parts[0].labelsPath;
  if (list.names.length > 0 || labelsPath === undefined) return list;
  return numbered((await classesOfLabelFile(labelsPath)) ?? []);
}

function toImage({ key, labels, texts }: LabelledEntry, classes: ClassNames): LabelledImage {
  return { key, labels: [...new Set(labels.map((label) => classes.indexOf(label)))].sort((a, b) => a - b), texts };
}

function foundEntry(found: ReadonlyMap<string, FoundEntry>, image: LabelledImage, path: string): FoundEntry {
  const entry = found.get(image.key);
  if (entry !== undefined) return entry;
  throw new UserError("not-found", `${path}: must hold the picture that is asked for, got "${image.key}".`);
}

function emptySetError(path: string, problems: readonly DatasetProblem[]): UserError {
  const first = problems.length > 0 ? ` The first of ${problems.length} problems: ${problems[0].error.message}` : "";
  return new UserError("empty", `${path}: must hold a picture with a label or a text, got none.${first}`);
}
