import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { access, constants, lstat, mkdir, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import { replaceFolder } from "./atomic-files.ts";
import { writeError } from "./file-errors.ts";

export interface OutputFolderOptions {
  /** An abort leaves what stands at the target alone. */
  readonly signal?: AbortSignal | undefined;
  /** Called when all is written, right before the folder takes its place: an error of it leaves the old one there. */
  readonly beforeReplacing?: (() => Promise<void>) | undefined;
}

/** Folders that are being written; what a process leaves behind when it is told to end at once. */
const unfinishedFolders = new Set<string>();

/**
 * Writes a folder through `write`, so that it appears whole or not at all, in the place of what stood there. A name with
 * a slash at its end means the same folder as without.
 *
 * @param write  fills the folder whose path it is given
 * @throws       UserError naming the path if it cannot be written; nothing is left behind and the old folder stays
 */
export async function writeFolderAtomic<Result>(
  target: string,
  write: (unfinished: string) => Promise<Result>,
  { signal, beforeReplacing }: OutputFolderOptions = {},
): Promise<Result> {
  const place = resolve(target); // not as given: `name/` + `.partial` would lie inside the target
  const unfinished = `${place}.${randomBytes(6).toString("hex")}.partial`;
  signal?.throwIfAborted();
  await requirePlace(place);
  removeAtExit(unfinished);
  try {
    await mkdir(unfinished, { recursive: true }).catch((error: unknown) => {
      throw writeError(place, error);
    });
    const result = await write(unfinished);
    await beforeReplacing?.();
    signal?.throwIfAborted();
    await replaceFolder(unfinished, place);
    return result;
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true }).catch(() => undefined); // the first error is the one to report
    throw error;
  } finally {
    keepAtExit(unfinished);
  }
}

/**
 * Requires that a folder can be made at a path: before hours of work rather than after.
 *
 * @throws UserError: bad-argument if a file is in the way, unreadable if the place may not be written
 */
export async function requirePlace(path: string): Promise<void> {
  const place = resolve(path);
  const parent = await nearestExisting(dirname(place));
  if (!(await stat(parent)).isDirectory()) {
    const rule = `${parent}: must be a folder, since ${place} is to lie in it`;
    throw new UserError("bad-argument", `${rule}; got a file. Name another folder.`);
  }
  await access(parent, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw writeError(parent, error);
  });
}

/** The path itself or the nearest folder above it that exists; a file is one too. */
export async function nearestExisting(path: string): Promise<string> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  return exists || path === dirname(path) ? path : nearestExisting(dirname(path));
}

/** Whether anything has a path, be it a link to nowhere. */
export async function isTaken(path: string): Promise<boolean> {
  return lstat(resolve(path)).then(
    () => true,
    () => false,
  );
}

/** Has a folder that is being written removed when the process is told to end at once. */
export function removeAtExit(folder: string): void {
  if (unfinishedFolders.size === 0) process.once("exit", removeUnfinished);
  unfinishedFolders.add(folder);
}

/** The folder is in its place, or removed. */
export function keepAtExit(folder: string): void {
  unfinishedFolders.delete(folder);
  if (unfinishedFolders.size === 0) process.off("exit", removeUnfinished);
}

function removeUnfinished(): void {
  for (const folder of unfinishedFolders) rmSync(folder, { recursive: true, force: true });
}
