import { basename } from "node:path";
import { UserError } from "../../core/errors.ts";
import { rowError } from "../readers/record.ts";
import type { ImagePlace, LabelledEntry, ListContext } from "./entry.ts";
import type { ByteIdentity, ImageStore } from "./image-store.ts";
import type { SplitName } from "./labelled-set.ts";
import type { Part } from "./layout.ts";
import { listCocoCaptions, listFolderOfClasses } from "./list-folder.ts";
import { listIdx } from "./list-idx.ts";
import { listTable } from "./list-table.ts";
import { listWebdataset } from "./list-webdataset.ts";

/** Told how many images have been found (no total yet), then how many of them have been looked at. */
export type OpenProgress = (done: number, total: number | undefined) => void;

/** An entry whose bytes are there. */
export interface FoundEntry extends LabelledEntry {
  readonly identity: ByteIdentity;
}

const stepsBetweenPauses = 256;
/** A picture that two splits list stays in the first of these, so that no evaluation picture is trained on. */
const splitOrder: readonly (SplitName | undefined)[] = ["test", "val", undefined, "train"];

function listPart(part: Part, context: ListContext): AsyncGenerator<LabelledEntry> {
  const { format, path, split } = part;
  if (format === "folder-of-classes") return listFolderOfClasses(path, split, context);
  if (format === "coco-captions") return listCocoCaptions(path, split, context);
  if (format === "webdataset") return listWebdataset(path, split, context);
  if (format === "idx") return listIdx({ images: path, labels: part.labelsPath ?? path, split }, context);
  return listTable({ path, format, split }, context);
}

/**
 * All entries, rows about the same image joined. Containers can hold several images under one name: the later ones get
 * keys of their own.
 */
export async function collectEntries(
  parts: readonly Part[],
  context: ListContext,
  store: Pick<ImageStore, "identityOf">,
  onProgress?: OpenProgress,
): Promise<LabelledEntry[]> {
  const found = new Map<string, LabelledEntry>();
  const ordered = [...parts].sort((a, b) => splitOrder.indexOf(a.split) - splitOrder.indexOf(b.split));
  for (const part of ordered) {
    for await (const listed of listPart(part, context)) {
      context.signal?.throwIfAborted();
      const entry = withOwnKey(listed, found, store);
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

/** The entry, under a key with its place if another image has its own. */
function withOwnKey(
  entry: LabelledEntry,
  found: ReadonlyMap<string, LabelledEntry>,
  store: Pick<ImageStore, "identityOf">,
): LabelledEntry {
  const earlier = found.get(entry.key);
  if (earlier === undefined || entry.place.kind !== "range" || isSameImage(earlier.place, entry.place, store))
    return entry;
  const key = `${entry.key}@${entry.place.offset}`;
  const other = found.get(key);
  if (other === undefined || isSameImage(other.place, entry.place, store)) return { ...entry, key };
  return { ...entry, key: `${key} of ${basename(entry.place.path)}` };
}

/** Whether two places are one, or hold the same bytes, as where a table repeats a picture for each of its labels. */
function isSameImage(one: ImagePlace, other: ImagePlace, store: Pick<ImageStore, "identityOf">): boolean {
  if (JSON.stringify(one) === JSON.stringify(other)) return true;
  try {
    const [a, b] = [store.identityOf(one), store.identityOf(other)];
    return a.size === b.size && a.digest === b.digest;
  } catch (error) {
    if (error instanceof UserError) return false; // what cannot be read is reported where it stands
    throw error;
  }
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
export async function withIdentities(
  entries: readonly LabelledEntry[],
  store: ImageStore,
  { report, signal }: ListContext,
  onProgress?: OpenProgress,
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
export function withoutUnlabelled(
  entries: readonly FoundEntry[],
  report: (place: string, error: unknown) => void,
): FoundEntry[] {
  if (entries.some(({ labels }) => labels.length > 1)) return [...entries];
  return entries.filter(({ isBlank, where }) => {
    if (isBlank) report(where, rowError(where, "must have a text or a label, got neither"));
    return !isBlank;
  });
}
