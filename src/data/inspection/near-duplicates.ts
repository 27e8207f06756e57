import { HashIndex } from "../curation/hash-index.ts";
import {
  defaultMatchRule,
  duplicateRule,
  hashMatches,
  internalDuplicates,
  type MatchRule,
} from "../curation/near-duplicates.ts";
import type { PictureSignature } from "../curation/perceptual-hash.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import type { OpenedLabelledSet } from "../labelled/open-labelled-set.ts";
import { nameOf, type PlacedImage, sameLabels } from "./duplicates.ts";
import { type Finding, findingOf } from "./finding.ts";
import type { ScannedImage } from "./scan-images.ts";

/**
 * The rules for two splits, tried in this order: curation's with fewer bits, which finds crops and changes of colour,
 * then, where that would compare too much, the strict one for the same picture saved twice.
 */
const rulesAcross: readonly MatchRule[] = [{ ...defaultMatchRule, radius: 8 }, duplicateRule];
const rulesWithin: readonly MatchRule[] = [duplicateRule];
/** Comparisons of hashes, and of thumbnails, that take about ten seconds. */
const mostComparisons = 1e9;
const mostMatches = 2e6;
const sampled = 256; // pictures that the work is estimated from

/**
 * Pictures that look the same but differ in bytes, across splits and within one. Where hashes cannot tell pictures
 * apart, as with small dark drawings that are all alike, they are not judged, and a finding says so.
 */
export function nearFindings(
  set: OpenedLabelledSet,
  scanned: readonly ScannedImage[],
  exact: readonly (readonly PlacedImage[])[],
): Finding[] {
  const groupOf = new Map(exact.flatMap((group, index) => group.map(({ image }) => [image.key, index] as const)));
  const areEqual = (a: PlacedImage, b: PlacedImage): boolean =>
    groupOf.has(a.image.key) && groupOf.get(a.image.key) === groupOf.get(b.image.key);
  const unjudged: string[] = [];
  const leaks = leaksOf(set, scanned, areEqual, unjudged);
  const { copies, contradictions } = copiesOf(set, scanned, areEqual, unjudged);
  return [
    ...findingOf(
      "near-leakage",
      "warning",
      leaks,
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
    ...findingOf(
      "not-judged",
      "note",
      unjudged,
      "Near-copies were not looked for: so many pictures are alike that their hashes do not tell them apart.",
    ),
  ];
}

type AreEqual = (a: PlacedImage, b: PlacedImage) => boolean;

function leaksOf(
  set: OpenedLabelledSet,
  scanned: readonly ScannedImage[],
  areEqual: AreEqual,
  unjudged: string[],
): string[] {
  const leaks = new Set<string>(); // a picture may match as it is and mirrored
  for (const split of set.splits.keys()) {
    const searched = scanned.filter((one) => one.split === split && one.turned !== undefined);
    const held = scanned.filter((one) => isBefore(split, one.split));
    if (searched.length === 0 || held.length === 0) continue;
    const pictures = searched.map(({ signature, turned }) => ({ plain: signature, turned: turned ?? signature }));
    const others = held.map(({ signature }) => signature);
    const rule = feasibleRule(
      pictures.map(({ plain }) => plain),
      others,
      rulesAcross,
    );
    if (rule === undefined) {
      unjudged.push(`${split} against the splits after it`);
      continue;
    }
    for (const match of hashMatches(pictures, others, rule)) {
      const [one, other] = [searched[match.candidate], held[match.held]];
      if (match.confirmed && !areEqual(one, other)) leaks.add(`${nameOf(one, set)} ≈ ${nameOf(other, set)}`);
    }
  }
  return [...leaks];
}

function copiesOf(
  set: OpenedLabelledSet,
  scanned: readonly ScannedImage[],
  areEqual: AreEqual,
  unjudged: string[],
): { copies: string[]; contradictions: string[] } {
  const copies: string[] = [];
  const contradictions: string[] = [];
  const signatures = scanned.map(({ signature }) => signature);
  const rule = feasibleRule(signatures, signatures, rulesWithin);
  if (rule === undefined) {
    unjudged.push("copies within splits");
    return { copies, contradictions };
  }
  for (const [later, earlier] of internalDuplicates(signatures, () => true, rule)) {
    const [one, other] = [scanned[earlier], scanned[later]];
    if (areEqual(one, other)) continue;
    const pair = `${nameOf(one, set)} ≈ ${nameOf(other, set)}`;
    if (!sameLabels(one, other)) contradictions.push(pair);
    else if (one.split === other.split) copies.push(pair);
  }
  return { copies, contradictions };
}

/** The first rule whose search stays within the limits, estimated from evenly spaced pictures. */
function feasibleRule(
  searched: readonly PictureSignature[],
  held: readonly PictureSignature[],
  rules: readonly MatchRule[],
): MatchRule | undefined {
  return rules.find(({ radius }) => {
    const index = new HashIndex(held, radius);
    const step = Math.max(1, Math.floor(searched.length / sampled));
    let [comparisons, matches, looked] = [0, 0, 0];
    for (let i = 0; i < searched.length; i += step, looked++) {
      const { high, low } = searched[i];
      comparisons += index.comparisons(high, low);
      matches += index.within(high, low).length;
    }
    const scale = searched.length / Math.max(1, looked);
    return comparisons * scale <= mostComparisons && matches * scale <= mostMatches;
  });
}

/** Pairs are told once, from training towards the test. */
function isBefore(one: SplitName, other: SplitName): boolean {
  const order: readonly SplitName[] = ["train", "val", "test"];
  return order.indexOf(one) < order.indexOf(other);
}
