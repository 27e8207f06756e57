import { realpath } from "node:fs/promises";
import { dirname, extname, join, parse } from "node:path";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { walkImageFiles } from "../io/file-walk.ts";
import type { DetectedPicture } from "../tasks/detection/detection.ts";

/**
 * Makes sure that no drawing takes the place of a picture that is looked at: none of these may lie in the folder under a
 * name that drawings have.
 *
 * @throws UserError bad-argument naming the picture
 */
export async function requireOtherFolder(folder: string, paths: readonly string[], signal: AbortSignal): Promise<void> {
  const target = await realpath(folder).catch(() => undefined);
  if (target === undefined) return; // a new folder holds no picture
  const realFolders = new Map<string, string>();
  for await (const found of walkImageFiles(paths, { signal })) {
    if ("error" in found) continue;
    const named = dirname(found.path);
    if (!realFolders.has(named)) realFolders.set(named, await realpath(named));
    const real = await realpath(found.path);
    const places = [join(realFolders.get(named) as string, parse(found.path).base), real];
    if (!places.some((place) => dirname(place) === target && extname(place).toLowerCase() === ".jpg")) continue;
    const rule = "detect: --draw must not be a folder of the pictures, whose place drawings would take";
    throw new UserError("bad-argument", `${rule}, got ${found.path} in ${folder}. Name a new folder.`);
  }
}

/** Pictures with their boxes, written to a folder under their own names. */
export class Drawings {
  readonly #folder: string;
  readonly #labels: readonly string[];
  readonly #used = new Set<string>(); // in small letters, since some file systems do not tell them apart

  constructor(folder: string, labels: readonly string[]) {
    this.#folder = folder;
    this.#labels = labels;
  }

  async draw({ path, image, detections }: DetectedPicture): Promise<void> {
    // Loaded here, so that --help does not wait for them.
    const { drawBoxes } = await import("../io/draw-boxes.ts");
    const { originalOf } = await import("../tasks/detection/box-naming.ts");
    const drawn = detections.map(({ box, label, score }) => ({
      ...{ box, label, score },
      class: this.#labels.indexOf(label),
    }));
    await writeFileAtomic(join(this.#folder, this.nameFor(path)), await drawBoxes(originalOf(image), drawn));
  }

  /** The name of a picture's drawing; numbered where another has it, by its folder or its ending. */
  nameFor(path: string): string {
    const { name } = parse(path);
    let free = name;
    for (let n = 2; this.#used.has(free.toLowerCase()); n++) free = `${name}-${n}`;
    this.#used.add(free.toLowerCase());
    return `${free}.jpg`;
  }
}
