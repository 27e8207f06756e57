import { createHash } from "node:crypto";
import { defaultMatchRule, duplicateRule, hashMatches, internalDuplicates } from "../curation/near-duplicates.ts";
import type { LabelledImage, SplitName } from "../labelled/labelled-set.ts";
import type { OpenedLabelledSet } from "../labelled/open-labelled-set.ts";
import { type Finding, findingOf } from "./finding.ts";
import type { ScannedImage } from "./scan-images.ts";

/** An image and where it stands. */
export interface PlacedImage {
  readonly split: SplitName;
  readonly image: LabelledImage;
}

/** Images up to this size are compared whole by their digest; larger ones that agree are read in full. */
const wholeDigest = 8192; // bytes
/** Fewer bits than curation's rule: a search through hundreds of thousands of pictures stays a matter of seconds. */
const leakageRule = { ...defaultMatchRule, radius: 8 };

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

/** Pictures that look the same but differ in bytes: across splits by curation's rule, within one by its strict rule. */
export function nearFindings(
  set: OpenedLabelledSet,
  scanned: readonly ScannedImage[],
  exact: readonly (readonly PlacedImage[])[],
): Finding[] {
  const groupOf = new Map(exact.flatMap((group, index) => group.map(({ image }) => [image.key, index] as const)));
  const areEqual = (a: PlacedImage, b: PlacedImage): boolean =>
    groupOf.has(a.image.key) && groupOf.get(a.image.key) === groupOf.get(b.image.key);
  const leaks = new Set<string>();
  for (const split of set.splits.keys()) {
    const searched = scanned.filter((one) => one.split === split && one.turned !== undefined);
    const held = scanned.filter((one) => isBefore(split, one.split));
    const pictures = searched.map(({ signature, turned }) => ({ plain: signature, turned: turned ?? signature }));
    for (const match of hashMatches(
      pictures,
      held.map(({ signature }) => signature),
      leakageRule,
    )) {
      const [one, other] = [searched[match.candidate], held[match.held]];
      if (match.confirmed && !areEqual(one, other)) leaks.add(`${nameOf(one, set)} ≈ ${nameOf(other, set)}`);
    }
  }
  const copies: string[] = [];
  const contradictions: string[] = [];
  const signatures = scanned.map(({ signature }) => signature);
  for (const [later, earlier] of internalDuplicates(signatures, () => true, duplicateRule)) {
    const [one, other] = [scanned[earlier], scanned[later]];
    if (areEqual(one, other)) continue;
    const pair = `${nameOf(one, set)} ≈ ${nameOf(other, set)}`;
    if (!sameLabels(one, other)) contradictions.push(pair);
    else if (one.split === other.split) copies.push(pair);
  }
  return [
    ...findingOf(
      "near-leakage",
      "warning",
      [...leaks],
      "Pictures of two splits look the same (perceptual hash and thumbnail agree). Look at them.",
    ),
    ...findingOf(
      "contradicting-labels",
      "warning",
      contradictions,
      "Pictures that look the same stand under different labels. Look at them.",
    ),
    ...findingOf(
      "near-duplicate",
      "note",
      copies,
      "Pictures of one split look the same, as frames of a film do. Keep them together when the split is divided further.",
    ),
  ];
}

/** Pairs are told once, from training towards the test. */
function isBefore(one: SplitName, other: SplitName): boolean {
  const order: readonly SplitName[] = ["train", "val", "test"];
  return order.indexOf(one) < order.indexOf(other);
}

function nameOf({ split, image }: PlacedImage, { classes }: OpenedLabelledSet): string {
  const labels = image.labels.map((label) => classes[label]).join(", ");
  return `${split}: ${image.key}${labels === "" ? "" : ` (${labels})`}`;
}

function sameLabels(a: PlacedImage, b: PlacedImage): boolean {
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
