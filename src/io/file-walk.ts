import type { Dirent, Stats } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { toErrorRecord, UserError, type UserErrorCode } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";

/** A file that can be opened; size and time of last change tell whether it is the one seen before. */
export interface FoundFile {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** An input that could not be used, as printed under `--json`. */
export interface FailedFile {
  readonly path: string;
  readonly error: { readonly code: UserErrorCode; readonly message: string };
}

/** Endings taken for pictures in folders. Some cannot be decoded: they are reported, not passed over in silence. */
export const imageExtensions: ReadonlySet<string> = new Set(
  "jpg jpeg jpe jfif png webp gif tif tiff avif svg heic heif bmp jxl".split(" "),
);

export interface WalkOptions {
  readonly extensions?: ReadonlySet<string>;
  /** Folders that are not entered, by their real paths. */
  readonly exclude?: ReadonlySet<string>;
  readonly signal?: AbortSignal;
}

/**
 * The image files of `paths`: files as named, whatever their ending; folders recursively, in code-unit order of names,
 * by ending. Hidden entries of folders are left out. Links are followed, each folder is entered once, so link loops end.
 *
 * @returns found files and failures, in order; a path that is missing or cannot be read is a failure, never an exception
 */
export async function* walkImageFiles(
  paths: Iterable<string>,
  { extensions = imageExtensions, exclude, signal }: WalkOptions = {},
): AsyncGenerator<FoundFile | FailedFile> {
  const enteredFolders = new Set<string>();

  async function* walkFolder(folder: string): AsyncGenerator<FoundFile | FailedFile> {
    let entries: Dirent[];
    try {
      const real = await realpath(folder);
      if (enteredFolders.has(real) || exclude?.has(real)) return;
      enteredFolders.add(real);
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      yield failedFile(folder, fileError(folder, error));
      return;
    }
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      signal?.throwIfAborted();
      if (entry.name.startsWith(".")) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) yield* walkFolder(path);
      else if (entry.isSymbolicLink()) yield* visitLink(path);
      else if (extensions.has(extensionOf(entry.name))) yield await visitFile(path);
    }
  }

  async function* visitLink(path: string): AsyncGenerator<FoundFile | FailedFile> {
    const wanted = extensions.has(extensionOf(path));
    const target = await statOrFailure(path);
    if ("error" in target) {
      if (wanted) yield target; // a dangling link that does not look like an image is none of our business
    } else if (target.isDirectory()) yield* walkFolder(path);
    else if (wanted) yield describeFile(path, target);
  }

  for (const path of paths) {
    signal?.throwIfAborted();
    const named = await statOrFailure(path);
    if ("error" in named) yield named;
    else if (named.isDirectory()) yield* walkFolder(path);
    else yield describeFile(path, named);
  }
}

/** How many inputs {@link walkImageFiles} gives, for a progress display. */
export async function countImageFiles(paths: Iterable<string>, options: WalkOptions = {}): Promise<number> {
  let count = 0;
  for await (const _ of walkImageFiles(paths, options)) count++;
  return count;
}

/** The failure record of an error, naming the file. */
export function failedFile(path: string, error: unknown): FailedFile {
  return { path, error: toErrorRecord(error) };
}

async function visitFile(path: string): Promise<FoundFile | FailedFile> {
  const stats = await statOrFailure(path);
  return "error" in stats ? stats : describeFile(path, stats);
}

/** Pipes, sockets and devices are refused here: opening one could wait for ever. */
function describeFile(path: string, stats: Stats): FoundFile | FailedFile {
  if (stats.isFile()) return { path, size: stats.size, mtimeMs: stats.mtimeMs };
  return failedFile(
    path,
    new UserError("unsupported", `${path}: must be a regular file, got a pipe, socket or device.`),
  );
}

async function statOrFailure(path: string): Promise<Stats | FailedFile> {
  try {
    return await stat(path);
  } catch (error) {
    return failedFile(path, fileError(path, error));
  }
}

function extensionOf(name: string): string {
  return extname(name).slice(1).toLowerCase();
}
