import { existsSync } from "node:fs";
import { constants, copyFile, mkdir, mkdtemp, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { UserError } from "../../core/errors.ts";
import { fileError } from "../../io/file-errors.ts";
import type { DetectionFormat, DetectionSet } from "./detection-set.ts";
import type { FormatWriter, LostDetail } from "./format-writer.ts";
import { cocoWriter } from "./write-coco.ts";
import { vocWriter } from "./write-voc.ts";
import { yoloWriter } from "./write-yolo.ts";

const writers: Readonly<Record<DetectionFormat, FormatWriter>> = { coco: cocoWriter, yolo: yoloWriter, voc: vocWriter };

export interface ConvertOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface ConversionReport {
  readonly folder: string;
  readonly format: DetectionFormat;
  readonly images: number;
  readonly boxes: number;
  /** What the format could not hold. */
  readonly lost: readonly LostDetail[];
}

/**
 * Writes a set in another format, pictures copied beside it as they are. The folder appears whole or not at all.
 *
 * @param folder  must be empty or not there
 * @throws        UserError: bad-argument (the folder has something in it), or naming the file that failed
 */
export async function convertDetectionSet(
  set: DetectionSet,
  folder: string,
  format: DetectionFormat,
  { onProgress, signal }: ConvertOptions = {},
): Promise<ConversionReport> {
  const target = resolve(folder);
  await checkTarget(target);
  const writer = writers[format];
  const all = [...set.splits.values()].flat();
  await mkdir(dirname(target), { recursive: true });
  const temporary = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
  try {
    let done = 0;
    for (const [path, text] of writer.setFiles(set)) await writeBelow(temporary, path, text);
    for (const [split, images] of set.splits) {
      const { pictures, files } = writer.split(set, split, images);
      for (const [path, text] of files) await writeBelow(temporary, path, text);
      for (const [image, path] of pictures) {
        signal?.throwIfAborted();
        await copyBelow(image.path, temporary, path);
        onProgress?.(++done, all.length);
      }
    }
    if (existsSync(target)) await rmdir(target); // empty, by the check above
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    signal?.throwIfAborted();
    throw fileError(target, error);
  }
  const boxes = all.reduce((count, image) => count + image.boxes.length, 0);
  return { folder, format, images: all.length, boxes, lost: writer.lost(set) };
}

async function checkTarget(target: string): Promise<void> {
  const names = existsSync(target)
    ? await readdir(target).catch((error: unknown) => {
        throw fileError(target, error);
      })
    : [];
  if (names.length === 0) return;
  throw new UserError("bad-argument", `${target}: must be an empty or a new folder, got one with files. Name another.`);
}

/** The place of a file in the new folder; a name that leads out of it is refused. */
function placeBelow(folder: string, path: string): string {
  const place = resolve(folder, path);
  if (place.startsWith(folder + sep)) return place;
  throw new UserError("bad-argument", `${path}: must be a name within the set, got one that leads out of it.`);
}

async function writeBelow(folder: string, path: string, text: string): Promise<void> {
  const place = placeBelow(folder, path);
  await mkdir(dirname(place), { recursive: true });
  await writeFile(place, text);
}

async function copyBelow(source: string, folder: string, path: string): Promise<void> {
  const place = placeBelow(folder, path);
  await mkdir(dirname(place), { recursive: true });
  await copyFile(source, place, constants.COPYFILE_FICLONE); // shares blocks where the file system can
}
