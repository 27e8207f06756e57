import { UserError } from "../../core/errors.ts";
import { hashText } from "../../core/rng.ts";
import type { LabelledImage, SplitName } from "./labelled-set.ts";

/** The shares of a division, 0 … 1; `train` has what the others leave. */
export interface SplitShares {
  readonly val?: number;
  readonly test?: number;
}

/** A part of the division: the images whose hash lies in [from, to). */
interface Share {
  readonly split: SplitName;
  readonly from: number;
  readonly to: number;
}

/** Of a class with fewer images than parts, the first of these get one. */
const servedFirst: readonly SplitName[] = ["train", "test", "val"];

/**
 * Divides images by a hash of seed and key, so that an image keeps its part when others are added. As the hash knows
 * nothing of classes, each class is divided by about the same shares (a class of 100 with a share of 0.2 gives 20 ± 4);
 * only where a class would leave a part empty, its image with the nearest hash is moved there.
 *
 * @param seed  another seed gives another division
 * @returns     the parts that have images, in the order train, val, test, each in the order given
 * @throws      UserError if the shares are not within 0 … 1 or leave nothing to train on
 */
export function splitByHash(
  images: readonly LabelledImage[],
  shares: SplitShares,
  seed: number | string,
): Map<SplitName, LabelledImage[]> {
  const parts = partsOf(shares);
  const hashes = images.map(({ key }) => unitHash(key, seed));
  const chosen: SplitName[] = hashes.map(
    (hash) => parts.find(({ from, to }) => hash >= from && hash < to)?.split ?? "train",
  );
  for (const members of membersByClass(images).values()) fillEmptyParts(members, hashes, chosen, parts);
  const order: readonly SplitName[] = ["train", "val", "test"];
  const groups = order.map((split) => [split, images.filter((_, i) => chosen[i] === split)] as const);
  return new Map(groups.filter(([, group]) => group.length > 0));
}

/** A number in [0, 1) from a key, the same on every machine. */
export function unitHash(key: string, seed: number | string): number {
  return hashText(`${seed}\n${key}`) / 2 ** 32;
}

function partsOf({ val = 0, test = 0 }: SplitShares): Share[] {
  if (!(val >= 0 && test >= 0 && val + test < 1)) {
    throw new UserError(
      "bad-argument",
      `Split: shares must be from 0 and sum to less than 1, got val ${val}, test ${test}.`,
    );
  }
  const parts: Share[] = [
    { split: "test", from: 0, to: test },
    { split: "val", from: test, to: test + val },
    { split: "train", from: test + val, to: 1 },
  ];
  return parts.filter(({ from, to }) => to > from);
}

/** Indices by class; an image of several classes counts for its rarest, one without any for none. */
function membersByClass(images: readonly LabelledImage[]): Map<number, number[]> {
  const counts = new Map<number, number>();
  for (const label of images.flatMap(({ labels }) => labels)) counts.set(label, (counts.get(label) ?? 0) + 1);
  const members = new Map<number, number[]>();
  images.forEach(({ labels }, i) => {
    if (labels.length === 0) return;
    const rarest = labels.reduce((a, b) => ((counts.get(b) ?? 0) < (counts.get(a) ?? 0) ? b : a));
    const group = members.get(rarest);
    if (group === undefined) members.set(rarest, [i]);
    else group.push(i);
  });
  return members;
}

function fillEmptyParts(
  members: readonly number[],
  hashes: readonly number[],
  chosen: SplitName[],
  parts: readonly Share[],
): void {
  const inOrder = servedFirst.flatMap((split) => parts.filter((part) => part.split === split));
  const sizes = new Map<SplitName, number>();
  for (const i of members) sizes.set(chosen[i], (sizes.get(chosen[i]) ?? 0) + 1);
  for (const { split, from, to } of inOrder.slice(0, members.length)) {
    if (sizes.has(split)) continue;
    const candidates = members.filter((i) => (sizes.get(chosen[i]) ?? 0) > 1 || !isServedBefore(chosen[i], split));
    const distance = (i: number): number => Math.max(from - hashes[i], hashes[i] - to, 0);
    const nearest = candidates.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    const left = (sizes.get(chosen[nearest]) ?? 1) - 1;
    if (left > 0) sizes.set(chosen[nearest], left);
    else sizes.delete(chosen[nearest]);
    chosen[nearest] = split;
    sizes.set(split, 1);
  }
}

function isServedBefore(one: SplitName, other: SplitName): boolean {
  return servedFirst.indexOf(one) < servedFirst.indexOf(other);
}
