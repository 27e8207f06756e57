import { createHash } from "node:crypto";
import type { LabelledImage, SplitName } from "../labelled/labelled-set.ts";
import type { OpenedLabelledSet } from "../labelled/open-labelled-set.ts";
import { type Finding, findingOf } from "./finding.ts";

/** An image and where it stands. */
export interface PlacedImage {
  readonly split: SplitName;
  readonly image: LabelledImage;
}

/** Images up to this size are compared whole by their digest; larger ones that agree are read in full. */
const wholeDigest = 8192; // bytes
/** The groups of images whose bytes are equal. */
export async function exactDuplicates(set: OpenedLabelledSet, signal?: AbortSignal): Promise<PlacedImage[][]> {
  const candidates = groupsOf(allImages(set), ({ image }) => {
    const { size, digest } = set.identityOf(image);
    return `${size}:${digest}`;
  });
  const groups: PlacedImage[][] = [];
  for (const group of candidates) {
    signal?.throwIfAborted();
    if (set.identityOf(group[0].image).size <= wholeDigest) {
      groups.push(group);
      continue;
    }
    const digests = new Map<PlacedImage, string>();
    for (const one of group) {
      digests.set(
        one,
        createHash("sha256")
          .update(await set.readBytes(one.image))
          .digest("hex"),
      );
    }
    groups.push(...groupsOf(group, (one) => digests.get(one) ?? ""));
  }
  return groups;
}

/** What equal bytes mean: leakage, contradicting labels, or copies. */
export function exactFindings(set: OpenedLabelledSet, groups: readonly (readonly PlacedImage[])[]): Finding[] {
  const leaks = groups.filter((group) => new Set(group.map(({ split }) => split)).size > 1);
  const contradictions = groups.filter(([one, ...others]) => others.some((other) => !sameLabels(one, other)));
  const copies = groups.filter((group) => !leaks.includes(group) && !contradictions.includes(group));
  const name = (group: readonly PlacedImage[]): string => group.map((one) => nameOf(one, set)).join(" = ");
  return [
    ...findingOf(
      "leakage",
      "error",
      leaks.map(name),
      "The same bytes stand in two splits: scores on them are too good. Take them out of training.",
    ),
    ...findingOf(
      "contradicting-labels",
      "error",
      contradictions.map(name),
      "The same bytes stand under different labels. Decide for one.",
    ),
    ...findingOf(
      "duplicate",
      "warning",
      copies.map(name),
      "The same bytes stand more than once in a split. Keep one of each, above all before the split is divided further.",
    ),
  ];
}

/** An image for reports: "train: cats/1.jpg (cat)". */
export function nameOf({ split, image }: PlacedImage, { classes }: OpenedLabelledSet): string {
  const labels = image.labels.map((label) => classes[label]).join(", ");
  return `${split}: ${image.key}${labels === "" ? "" : ` (${labels})`}`;
}

export function sameLabels(a: PlacedImage, b: PlacedImage): boolean {
  return a.image.labels.join() === b.image.labels.join();
}

/** Every image of a set with its split. */
export function allImages(set: OpenedLabelledSet): PlacedImage[] {
  return [...set.splits].flatMap(([split, images]) => images.map((image) => ({ split, image })));
}

function groupsOf<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}
