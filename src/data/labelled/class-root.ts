import { readdir } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { imageExtensions, walkImageFiles } from "../../io/file-walk.ts";
import type { SetNote } from "./entry.ts";
import { splitOfWord } from "./split-names.ts";

/** Names of folders that hold a set's pictures, not those of one class. */
const containerName = /^(images?|imgs?|pictures?|photos?|jpe?gimages|data|dataset)$/i;

/**
 * The folder whose subfolders are the classes: the given one, or where all pictures are below one subfolder that has
 * folders of pictures and no picture of its own, as in Food-101 (`images/apple_pie/1.jpg`), that subfolder.
 */
export async function findClassRoot(folder: string, note: (note: SetNote) => void): Promise<string> {
  const root = await rootBelow(folder);
  // A split can lack all classes but one; only a name that is no class's tells such a class from a container.
  const isSplit = splitOfWord(basename(folder)) !== undefined;
  if (root === undefined || root === folder || (isSplit && !containerName.test(basename(root)))) return folder;
  const message = `${folder}: has all pictures below ${basename(root)}; the subfolders of that are the classes.`;
  note({ kind: "descended", message });
  return root;
}

/** Whether there is a picture below any of the folders. */
export async function holdsImages(folders: readonly string[]): Promise<boolean> {
  for await (const file of walkImageFiles(folders)) if (!("error" in file)) return true;
  return false;
}

/** The topmost folder with two subfolders of pictures; undefined if pictures lie on the way to it. */
async function rootBelow(folder: string): Promise<string | undefined> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names = entries.filter(({ name }) => !name.startsWith(".")).sort((a, b) => (a.name < b.name ? -1 : 1));
  const holders: string[] = [];
  for (const entry of names) {
    if (entry.isFile() || !(await holdsImages([join(folder, entry.name)]))) continue;
    holders.push(join(folder, entry.name));
    if (holders.length > 1) return folder;
  }
  return holders.length === 1 && !(await hasOwnImages(holders[0])) ? rootBelow(holders[0]) : undefined;
}

async function hasOwnImages(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.some((name) => !name.startsWith(".") && imageExtensions.has(extname(name).slice(1).toLowerCase()));
}
