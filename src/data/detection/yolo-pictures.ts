import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve, sep } from "node:path";
import { imageExtensions, walkImageFiles } from "../../io/file-walk.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { detectionProblem, type ProblemSink, type RawImage } from "./raw-set.ts";

/**
 * Where the pictures of a split are. Roboflow writes `../train/images` for what is `train/images` beside the file, so that
 * is looked for first: the other place may be another set's. `path` is often that of the machine the set was made on.
 *
 * @param base  the description's `path`
 */
export function findPictures(configPath: string, base: string | undefined, place: string): string | undefined {
  const folder = dirname(resolve(configPath));
  const candidates = spellingsOf(place).flatMap((spelling) => {
    const inside = spelling.replace(/^(\.\.?[\\/])+/, "");
    const below = base === undefined ? [] : spellingsOf(base).map((one) => resolve(folder, one, spelling));
    const beside = resolve(folder, inside);
    const named = [...below, resolve(folder, spelling)];
    return spelling.startsWith("..") ? [beside, ...named] : [...named, beside];
  });
  return candidates.find((candidate) => existsSync(candidate));
}

/** A path as it stands, then with "/" for the separators of Windows. */
function spellingsOf(path: string): string[] {
  return path.includes("\\") ? [path, path.replaceAll("\\", "/")] : [path];
}

/** Pictures of a folder, or those that a .txt file lists. */
export async function* picturesOf(source: string, report: ProblemSink): AsyncGenerator<string> {
  if (!source.endsWith(".txt")) {
    for await (const file of walkImageFiles([source])) {
      if (!("error" in file)) yield file.path;
      else report({ ...file, kind: "unreadable-image", action: "left-out" });
    }
    return;
  }
  for (const line of (await readUtf8(source)).replace(/^\ufeff/, "").split(/\r?\n/)) {
    if (line.trim() === "") continue;
    const places = spellingsOf(line.trim()).map((spelling) => resolve(dirname(source), spelling));
    yield places.find((place) => existsSync(place)) ?? places[0];
  }
}

/**
 * Where the names of a split's pictures start: at what its folders and lists have in common, so that pictures of one name in
 * several folders differ. If a list leads out of it, at what the pictures have in common.
 */
export function commonRoot(sources: readonly string[], pictures: readonly string[]): string {
  const root = commonFolder(sources.map((source) => (source.endsWith(".txt") ? dirname(source) : source)));
  const isOutside = (picture: string) => relative(root, picture).split(sep)[0] === "..";
  return pictures.some(isOutside) ? commonFolder(pictures.map((picture) => dirname(picture))) : root;
}

function commonFolder(folders: readonly string[]): string {
  let common = folders[0].split(sep);
  for (const folder of folders) {
    const parts = folder.split(sep);
    const differs = common.findIndex((part, i) => part !== parts[i]);
    if (differs >= 0) common = common.slice(0, differs);
  }
  return common.join(sep) || sep;
}

/** The label file of a picture: the last folder `images` of its path becomes `labels`. */
export function labelPath(picture: string): string {
  return join(labelFolder(dirname(picture)), `${basename(picture, extname(picture))}.txt`);
}

function labelFolder(folder: string): string {
  const parts = folder.split(sep);
  const at = parts.lastIndexOf("images");
  return at < 0 ? folder : parts.with(at, "labels").join(sep);
}

/** Reports label files whose picture is not there; `classes.txt` is a list of names that some tools put beside them. */
export async function reportOrphans(source: string, images: readonly RawImage[], report: ProblemSink): Promise<void> {
  const folder = labelFolder(source);
  if (folder === source || source.endsWith(".txt") || !existsSync(folder)) return;
  const known = new Set(images.map(({ place }) => place));
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const path = join(folder, name);
    if (!name.endsWith(".txt") || basename(name) === "classes.txt" || known.has(path)) continue;
    const finding = `labels must have a picture (${[...imageExtensions].slice(0, 3).join(", ")}, …), got none`;
    report(detectionProblem("missing-image", "left-out", { path, code: "not-found", finding }));
  }
}
