import { realpath } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { clipBox } from "../../../core/boxes.ts";
import { type FailedFile, failedFile, walkImageFiles } from "../../../io/file-walk.ts";
import { readImageHeader } from "../../../io/image-header.ts";
import type { Detection } from "../types.ts";
import { type FileState, LabelJournal, type LabelledPicture } from "./label-journal.ts";

/** What a detector says of one file, in pixels of the picture as displayed. */
export type DetectedFile = { readonly path: string; readonly detections: readonly Detection[] } | FailedFile;

/** Detects in files, one answer each in any order; files are asked for only as fast as answers are taken. */
export type DetectFiles = (paths: AsyncIterable<string>) => AsyncIterable<DetectedFile>;

export interface LabelFolderOptions {
  readonly folder: string; // of the pictures, with those below it
  readonly journalPath: string;
  /** What decides the labels: the journal of other settings is refused. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly detect: DetectFiles;
  /** Folders that are left out, such as that of the labels themselves; real paths. */
  readonly exclude?: ReadonlySet<string>;
  readonly signal?: AbortSignal;
  readonly onPicture?: (picture: LabelledPicture) => void | Promise<void>;
  readonly onFailure?: (failure: FailedFile) => void | Promise<void>;
  /** Told once how many pictures an earlier run had labelled. */
  readonly onResume?: (count: number) => void;
}

export interface LabellingSummary {
  readonly labelled: number; // by this call, those that changed among them
  readonly earlier: number; // by calls before, still in the journal as they were labelled then
  readonly failed: number; // tried again by the next call
}

/**
 * Labels every picture of a folder into a journal, in memory that does not grow with pictures or boxes (their names
 * are kept). Killed at any moment, the same call goes on: no picture is lost, and none is labelled twice, unless its file
 * has changed since.
 *
 * @throws UserError mismatch: the journal was begun with other settings or for another folder
 */
export async function labelFolder(options: LabelFolderOptions): Promise<LabellingSummary> {
  const { folder, detect, onPicture, onFailure, onResume, signal } = options;
  const root = resolve(folder);
  const real = await realpath(root).catch(() => root); // one that is missing is reported by the walk
  const journal = await LabelJournal.open(options.journalPath, { folder: real, ...options.settings });
  if (journal.count > 0) onResume?.(journal.count);
  const states = new Map<string, FileState>(); // of the pictures that are being looked at
  let failed = 0;
  const fail = async (failure: FailedFile): Promise<void> => {
    failed++;
    await onFailure?.(failure);
  };
  try {
    for await (const outcome of detect(pending(root, journal, states, fail, options))) {
      signal?.throwIfAborted();
      if ("error" in outcome) {
        states.delete(outcome.path);
        await fail(outcome);
        continue;
      }
      const state = states.get(outcome.path);
      states.delete(outcome.path);
      const picture = await describe(root, outcome, state).catch((error: unknown) => failedFile(outcome.path, error));
      if ("error" in picture) {
        await fail(picture);
        continue;
      }
      await journal.append(picture);
      await onPicture?.(picture);
    }
    return { labelled: journal.appended, earlier: journal.count - journal.appended, failed };
  } finally {
    await journal.close();
  }
}

/** The pictures that no earlier run has labelled as they are. */
async function* pending(
  root: string,
  journal: LabelJournal,
  states: Map<string, FileState>,
  fail: (failure: FailedFile) => Promise<void>,
  { signal, exclude }: LabelFolderOptions,
): AsyncGenerator<string> {
  for await (const found of walkImageFiles([root], { ...(signal && { signal }), ...(exclude && { exclude }) })) {
    if ("error" in found) await fail(found);
    else if (!journal.has(nameBelow(root, found.path), found)) {
      states.set(found.path, found);
      yield found.path;
    }
  }
}

function nameBelow(root: string, path: string): string {
  return relative(root, path).split(sep).join("/");
}

async function describe(
  root: string,
  { path, detections }: { readonly path: string; readonly detections: readonly Detection[] },
  state: FileState | undefined,
): Promise<LabelledPicture> {
  const header = await readImageHeader(path);
  const [width, height] = header.orientation >= 5 ? [header.height, header.width] : [header.width, header.height]; // as displayed
  const kept = detections.flatMap(({ box, label, score }) => {
    const [x0, y0, x1, y1] = clipBox(box, width, height).map((edge) => Number(edge.toFixed(2)));
    const isBox = x1 > x0 && y1 > y0;
    return isBox ? [{ box: [x0, y0, x1, y1] as [number, number, number, number], label, score: round(score) }] : [];
  });
  const seen = state && { bytes: state.size, changedMs: state.mtimeMs };
  return { file: nameBelow(root, path), width, height, detections: kept, ...seen };
}

const round = (score: number): number => Number(score.toFixed(4));

/** Where a labelled picture lies. */
export function pathOf(folder: string, { file }: LabelledPicture): string {
  return join(resolve(folder), ...file.split("/"));
}
