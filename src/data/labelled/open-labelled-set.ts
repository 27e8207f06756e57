import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import { cacheFolderFrom } from "../../io/cache-folder.ts";
import { failedFile } from "../../io/file-walk.ts";
import type { ColumnNames } from "../readers/columns.ts";
import { type DatasetProblem, rowError } from "../readers/record.ts";
import { readClassList } from "./class-list.ts";
import { type ClassNames, classNames } from "./class-names.ts";
import type { ClassList, ImagePlace, LabelledEntry, ListContext, SetNote } from "./entry.ts";
import { type ByteIdentity, ImageStore } from "./image-store.ts";
import type { LabelledImage, LabelledSet, SplitName } from "./labelled-set.ts";
import { findParts, type Part } from "./layout.ts";
import { listCocoCaptions, listFolderOfClasses } from "./list-folder.ts";
import { classesOfLabelFile, listIdx } from "./list-idx.ts";
import { listTable } from "./list-table.ts";
import { listWebdataset } from "./list-webdataset.ts";

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
  /** Told how many images have been found, then how many of them looked at. */
  readonly onProgress?: (done: number, total: number | undefined) => void;
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

/** An entry whose bytes are there. */
interface FoundEntry extends LabelledEntry {
  readonly identity: ByteIdentity;
}

const stepsBetweenPauses = 256;
/** A picture that two splits list stays in the first of these, so that no evaluation picture is trained on. */
const splitOrder: readonly (SplitName | undefined)[] = ["test", "val", undefined, "train"];

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
    const listed = await collectEntries(parts, context, options);
    const present = await withIdentities(listed, store, context, options);
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
      decode: (image) => store.decode(entryOf(image).place, `${path}: ${image.key}`),
      readBytes: (image) => store.read(entryOf(image).place),
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

function listPart(part: Part, context: ListContext): AsyncGenerator<LabelledEntry> {
  const { format, path, split } = part;
  if (format === "folder-of-classes") return listFolderOfClasses(path, split, context);
  if (format === "coco-captions") return listCocoCaptions(path, split, context);
  if (format === "webdataset") return listWebdataset(path, split, context);
  if (format === "idx") return listIdx({ images: path, labels: part.labelsPath ?? path, split }, context);
  return listTable({ path, format, split }, context);
}

/** All entries, rows about the same image joined. */
async function collectEntries(
  parts: readonly Part[],
  context: ListContext,
  { onProgress, signal }: OpenLabelledSetOptions,
): Promise<LabelledEntry[]> {
  const found = new Map<string, LabelledEntry>();
  const ordered = [...parts].sort((a, b) => splitOrder.indexOf(a.split) - splitOrder.indexOf(b.split));
  for (const part of ordered) {
    for await (const entry of listPart(part, context)) {
      signal?.throwIfAborted();
      const earlier = found.get(entry.key);
      if (earlier === undefined) found.set(entry.key, entry);
      else {
        try {
          found.set(entry.key, joined(earlier, entry));
        } catch (error) {
          context.report(entry.where, error);
        }
      }
      if (found.size % stepsBetweenPauses === 0) onProgress?.(found.size, undefined);
    }
  }
  return [...found.values()];
}

/**
 * Two rows about one image: captions come together, as tables with a caption a row have it; a row that repeats the
 * labels adds nothing; labels of several are joined where one row has several already.
 */
function joined(earlier: LabelledEntry, entry: LabelledEntry): LabelledEntry {
  const [one, other] = [earlier.split ?? "train", entry.split ?? "train"];
  if (one !== other) {
    throw rowError(
      entry.where,
      `must be in one split, got ${other} for a picture that is in ${one} (${earlier.where})`,
    );
  }
  const isMulti = earlier.labels.length > 1 || entry.labels.length > 1;
  const added = entry.labels.filter((label) => !earlier.labels.includes(label));
  if (added.length > 0 && earlier.labels.length > 0 && !isMulti) {
    const rule = `must repeat the label "${earlier.labels[0]}" of ${earlier.where}, got "${added[0]}"`;
    throw rowError(entry.where, `${rule} (several labels stand in one row, separated by |)`);
  }
  const texts = [...earlier.texts, ...entry.texts.filter((text) => !earlier.texts.includes(text))];
  return { ...earlier, labels: [...earlier.labels, ...added], texts, isBlank: earlier.isBlank && entry.isBlank };
}

/** Entries whose bytes are there, with their sizes and digests. */
async function withIdentities(
  entries: readonly LabelledEntry[],
  store: ImageStore,
  { report }: ListContext,
  { onProgress, signal }: OpenLabelledSetOptions,
): Promise<FoundEntry[]> {
  const found: FoundEntry[] = [];
  for (let i = 0; i < entries.length; i++) {
    try {
      found.push({ ...entries[i], identity: store.identityOf(entries[i].place) });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      report(entries[i].where, error);
    }
    if (i % stepsBetweenPauses > 0) continue;
    signal?.throwIfAborted();
    onProgress?.(i, entries.length);
    await new Promise(setImmediate); // the calls above block; signals and displays get their turn here
  }
  onProgress?.(entries.length, entries.length);
  store.endIdentities();
  return found;
}

/** Without labels an image belongs to a multi-label set, as one that shows none of the classes, but to no other. */
function withoutUnlabelled(
  entries: readonly FoundEntry[],
  report: (place: string, error: unknown) => void,
): FoundEntry[] {
  if (entries.some(({ labels }) => labels.length > 1)) return [...entries];
  return entries.filter(({ isBlank, where }) => {
    if (isBlank) report(where, rowError(where, "must have a text or a label, got neither"));
    return !isBlank;
  });
}

function toImage({ key, labels, texts }: LabelledEntry, classes: ClassNames): LabelledImage {
  return { key, labels: [...new Set(labels.map((label) => classes.indexOf(label)))].sort((a, b) => a - b), texts };
}

function groupBySplit(
  entries: readonly LabelledEntry[],
  images: readonly LabelledImage[],
): Map<SplitName, LabelledImage[]> {
  const groups = new Map<SplitName, LabelledImage[]>();
  entries.forEach(({ split = "train" }, i) => {
    const group = groups.get(split);
    if (group === undefined) groups.set(split, [images[i]]);
    else group.push(images[i]);
  });
  const order: readonly SplitName[] = ["train", "val", "test"];
  return new Map(order.flatMap((split) => (groups.has(split) ? [[split, groups.get(split) ?? []] as const] : [])));
}

/** Notes classes without images, and those that a split lacks while another has them. */
function noteClassGaps(
  splits: ReadonlyMap<SplitName, readonly LabelledImage[]>,
  names: readonly string[],
  note: (note: SetNote) => void,
): void {
  const present = new Map(
    [...splits].map(([split, images]) => [split, new Set(images.flatMap(({ labels }) => labels))]),
  );
  const anywhere = new Set([...present.values()].flatMap((labels) => [...labels]));
  const shown = (indices: readonly number[]): string =>
    `${indices
      .slice(0, 5)
      .map((i) => `"${names[i]}"`)
      .join(", ")}${indices.length > 5 ? ` and ${indices.length - 5} more` : ""}`;
  const empty = names.map((_, i) => i).filter((i) => !anywhere.has(i));
  if (empty.length > 0) {
    note({
      kind: "class-empty",
      message: `${empty.length} of ${names.length} classes: have no picture: ${shown(empty)}.`,
    });
  }
  for (const [split, labels] of present) {
    const absent = [...anywhere].filter((i) => !labels.has(i)).sort((a, b) => a - b);
    if (labels.size > 0 && absent.length > 0) {
      note({
        kind: "class-absent",
        message: `Split ${split}: lacks ${absent.length} of ${names.length} classes: ${shown(absent)}.`,
      });
    }
  }
}

/**
 * SHA-256 over the class names and, sorted by key, each image's split, key, labels, texts, size and sampled digest.
 * Nothing of the place or time enters, so a copy elsewhere has the same one.
 */
function fingerprintOf(
  entries: readonly FoundEntry[],
  images: readonly LabelledImage[],
  classes: readonly string[],
): string {
  const hash = createHash("sha256").update(JSON.stringify(["labelled set 1", classes]));
  const order = entries.map((_, i) => i).sort((a, b) => (entries[a].key < entries[b].key ? -1 : 1));
  for (const i of order) {
    const { key, split = "train", identity } = entries[i];
    hash.update(JSON.stringify([key, split, images[i].labels, images[i].texts, identity.size, identity.digest]));
  }
  return hash.digest("hex");
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
