import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileError, writeError } from "./file-errors.ts";

/** Flushes a folder's entries, so that a rename in it survives a power cut; some systems do not allow it. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows and some network file systems cannot open a folder; the rename itself has succeeded.
  }
}

/**
 * Writes a file through `write`, so that `path` holds the old content or the whole new one, never a part: temporary
 * file in the same folder, fsync, rename. The folder is created if it is missing.
 *
 * @throws UserError naming `path`; the temporary file is removed
 */
export async function writeAtomically(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first error is the one to report
    throw fileError(path, error);
  }
  await syncFolder(folder);
}

/** Writes the whole content of a file atomically (see {@link writeAtomically}); a text is written as UTF-8. */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  await writeAtomically(path, (file) => file.writeFile(content));
}

/**
 * Puts a finished folder in the place of another: an old one is moved aside, and removed after the rename. Readers
 * see the old folder, for an instant none, then the new one; never a mixture.
 *
 * @throws UserError naming `target`; the old folder is put back if the new one cannot take its place
 */
export async function replaceFolder(finished: string, target: string): Promise<void> {
  const place = resolve(target); // `name/` + `.old` would lie inside the folder that is to be moved
  const aside = `${place}.${randomBytes(6).toString("hex")}.old`;
  let hasOld = true;
  try {
    await rename(place, aside).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      hasOld = false;
    });
    try {
      await rename(finished, place);
    } catch (error) {
      if (hasOld) await rename(aside, place);
      throw error;
    }
    await syncFolder(dirname(place));
    if (hasOld) await rm(aside, { recursive: true, force: true });
  } catch (error) {
    throw writeError(place, error);
  }
}
