import { posix } from "node:path";

/** The two parts of a file name: formats name label files by what is ahead of the ending. */
export function stemAndEnding(file: string): { stem: string; ending: string } {
  const dot = file.lastIndexOf(".");
  const ending = dot > file.lastIndexOf("/") ? file.slice(dot) : "";
  return { stem: file.slice(0, file.length - ending.length), ending };
}

/** Names for copies of pictures, such that no two differ in their ending only. */
export class DistinctNames {
  readonly #stems = new Set<string>();

  /** The name itself the first time, then with a number: `a.jpg`, `a-2.png`. */
  next(file: string): { readonly stem: string; readonly file: string } {
    const { stem: plain, ending } = stemAndEnding(file);
    let stem = plain;
    for (let n = 2; this.#stems.has(stem); n++) stem = `${plain}-${n}`;
    this.#stems.add(stem);
    return { stem, file: `${stem}${ending}` };
  }
}

/**
 * A picture's name for below YOLO's folder `images`: readers replace the last `images` of a path by `labels`, so no folder of
 * the name may be called that; nor may the name lead out of the folder.
 *
 * @param file  with "/"
 */
export function yoloName(file: string): string {
  const parts = posix.normalize(file).split("/");
  const name = parts.pop() ?? "";
  return [...parts.filter((part) => !["images", "..", ".", ""].includes(part)), name].join("/");
}
