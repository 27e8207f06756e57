import type { SplitName } from "../labelled/labelled-set.ts";
import type { DetectionImage, DetectionSet } from "./detection-set.ts";
import { DistinctNames } from "./file-names.ts";

/** Roboflow's names for the splits' folders. */
export const splitFolders: Readonly<Record<SplitName, string>> = { train: "train", val: "valid", test: "test" };

/** Something a format cannot hold, and how often it was there. */
export interface LostDetail {
  readonly what: string;
  readonly count: number;
}

/** Where a picture goes, and the text files that stand for its set. */
export interface WrittenSplit {
  readonly pictures: ReadonlyMap<DetectionImage, string>; // image → path below the target
  readonly files: ReadonlyMap<string, string>; // path below the target → text
}

/** One format as it is written. */
export interface FormatWriter {
  /** What of the set the format cannot hold. */
  lost(set: DetectionSet): LostDetail[];
  split(set: DetectionSet, split: SplitName, images: readonly DetectionImage[]): WrittenSplit;
  /** Files for the whole set: path below the target → text. */
  setFiles(set: DetectionSet): ReadonlyMap<string, string>;
}

/** How many boxes of a set have a property, as a detail that is lost; none if there are none. */
export function lostBoxes(
  set: DetectionSet,
  what: string,
  isLost: (box: DetectionImage["boxes"][number]) => boolean,
): LostDetail[] {
  let count = 0;
  for (const images of set.splits.values()) for (const { boxes } of images) count += boxes.filter(isLost).length;
  return count > 0 ? [{ what, count }] : [];
}

/** The same for pictures. */
export function lostImages(set: DetectionSet, what: string, isLost: (image: DetectionImage) => boolean): LostDetail[] {
  const count = [...set.splits.values()].flat().filter(isLost).length;
  return count > 0 ? [{ what, count }] : [];
}

/** The same for classes. */
export function lostCategories(set: DetectionSet): LostDetail[] {
  const count = set.categories.filter(({ id, extra }, i) => id !== i || extra !== undefined).length;
  return count > 0 ? [{ what: "category ids and supercategories", count }] : [];
}

/** The shortest decimal `size` with `start + size` equal to `end`, which undoes the addition that made `end`. */
export function exactSize(start: number, end: number): number {
  const size = end - start;
  for (let digits = 0; digits < 12; digits++) {
    const rounded = Number(size.toFixed(digits));
    if (start + rounded === end) return rounded;
  }
  return size;
}

/** The names that pictures get below a folder, such that no two differ in their ending only. */
export function distinctStems(
  images: readonly DetectionImage[],
  nameOf: (file: string) => string = (file) => file,
): Map<DetectionImage, { readonly stem: string; readonly file: string }> {
  const names = new DistinctNames();
  return new Map(images.map((image) => [image, names.next(nameOf(image.file))]));
}
