import type { LabelledSet, SplitName } from "../labelled/labelled-set.ts";

/** Smallest, middle and largest of some numbers. */
export interface Range {
  readonly least: number;
  readonly median: number;
  readonly most: number;
}

/** A class and how many images of each split have it. */
export interface ClassCount {
  readonly name: string;
  readonly total: number;
  readonly bySplit: Readonly<Partial<Record<SplitName, number>>>;
}

export interface CaptionStatistics {
  readonly captions: number;
  readonly imagesWithout: number;
  readonly perImage: Range; // of images that have any
  readonly words: Range; // of a caption
  readonly distinct: number; // captions that differ
}

export interface SizeStatistics {
  readonly width: Range; // pixels
  readonly height: Range; // pixels
  readonly aspect: Range; // width over height
  /** The most common sizes, at most five. */
  readonly common: readonly { readonly size: string; readonly count: number }[];
  readonly distinct: number;
}

/** The range of a list; undefined for an empty one. The median of an even number is the lower of the middle two. */
export function rangeOf(values: Iterable<number>): Range | undefined {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return undefined;
  return { least: sorted[0], median: sorted[(sorted.length - 1) >> 1], most: sorted[sorted.length - 1] };
}

/** How many images each class has, in the order of the classes. */
export function classCounts({ classes, splits }: Pick<LabelledSet, "classes" | "splits">): ClassCount[] {
  const counts = classes.map(() => new Map<SplitName, number>());
  for (const [split, images] of splits) {
    for (const { labels } of images) {
      for (const label of labels) counts[label].set(split, (counts[label].get(split) ?? 0) + 1);
    }
  }
  return classes.map((name, i) => {
    const total = [...counts[i].values()].reduce((sum, count) => sum + count, 0);
    return { name, total, bySplit: Object.fromEntries(counts[i]) };
  });
}

/** Undefined where no image has a caption. */
export function captionStatistics({ splits }: Pick<LabelledSet, "splits">): CaptionStatistics | undefined {
  const images = [...splits.values()].flat();
  const withTexts = images.filter(({ texts }) => texts.length > 0);
  const texts = withTexts.flatMap((image) => image.texts);
  const perImage = rangeOf(withTexts.map((image) => image.texts.length));
  const words = rangeOf(texts.map((text) => text.split(/\s+/).length));
  if (perImage === undefined || words === undefined) return undefined;
  const imagesWithout = images.length - withTexts.length;
  return { captions: texts.length, imagesWithout, perImage, words, distinct: new Set(texts).size };
}

/** Undefined for no image. */
export function sizeStatistics(
  sizes: readonly { readonly width: number; readonly height: number }[],
): SizeStatistics | undefined {
  const width = rangeOf(sizes.map((size) => size.width));
  const height = rangeOf(sizes.map((size) => size.height));
  const aspect = rangeOf(sizes.map((size) => size.width / size.height));
  if (width === undefined || height === undefined || aspect === undefined) return undefined;
  const counts = new Map<string, number>();
  for (const size of sizes) {
    const name = `${size.width}×${size.height}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const common = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5);
  return { width, height, aspect, common: common.map(([size, count]) => ({ size, count })), distinct: counts.size };
}
