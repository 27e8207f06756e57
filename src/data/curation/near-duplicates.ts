import type { RgbImage } from "../../core/image.ts";
import { HashIndex } from "./hash-index.ts";
import {
  mirrored,
  type PictureSignature,
  pictureSignature,
  thumbnailContrast,
  thumbnailDifference,
} from "./perceptual-hash.ts";

/** How far two thumbnails may differ and still show the same picture. */
export interface ThumbnailTolerance {
  /** The mean absolute difference, 0 … 255. */
  readonly difference: number;
  /** The same as a share of the contrast of the flatter thumbnail. */
  readonly relativeDifference: number;
}

/** When two pictures count as the same. */
export interface MatchRule {
  /** The most bits in which their hashes may differ, 0 … 15. */
  readonly radius: number;
  readonly photo: ThumbnailTolerance;
  /** For pairs of which one is cut out on white: strict, since many products and symbols share an outline. */
  readonly onWhite: ThumbnailTolerance;
}

/**
 * Chosen by looking at the pairs on both sides of it: photos that are the same but cropped a little differently reach
 * (16, 0.5), different ones start at 0.7 of the contrast; shirts on the same mannequin start at 12.
 */
export const defaultMatchRule: MatchRule = {
  radius: 12,
  photo: { difference: 16.5, relativeDifference: 0.52 },
  onWhite: { difference: 12, relativeDifference: 0.35 },
};

/** For the pictures of one set: the same file saved twice, not two shirts or two skin tones that look alike. */
export const duplicateRule: MatchRule = {
  radius: 4,
  photo: { difference: 2.5, relativeDifference: 0.08 },
  onWhite: { difference: 2.5, relativeDifference: 0.08 },
};

/** The widest ratio of two pictures' aspects. */
const aspectRatio = 1.25;

/** Two pictures whose hashes agree. */
export interface HashMatch {
  readonly candidate: number; // index in the set that is searched for copies
  readonly held: number; // index in the other set
  readonly difference: number; // of the thumbnails, 0 … 255
  readonly relativeDifference: number;
  readonly mirrored: boolean;
  /** Whether the thumbnails agree too. */
  readonly confirmed: boolean;
}

/** Signatures of a picture as it is and mirrored. */
export interface SearchedPicture {
  readonly plain: PictureSignature;
  readonly turned: PictureSignature;
}

/** The signatures with which a picture is looked for in other sets. */
export function searchedPicture(image: RgbImage): SearchedPicture {
  return { plain: pictureSignature(image), turned: pictureSignature(mirrored(image)) };
}

/** Every picture of `held` that one of `candidates` may be a copy of, by hash, with the thumbnails' verdict. */
export function* hashMatches(
  candidates: readonly SearchedPicture[],
  held: readonly PictureSignature[],
  rule: MatchRule,
): Generator<HashMatch> {
  const index = new HashIndex(held, rule.radius);
  for (let candidate = 0; candidate < candidates.length; candidate++) {
    const { plain, turned } = candidates[candidate];
    for (const i of index.within(plain.high, plain.low)) yield compare(candidate, plain, i, held[i], false, rule);
    for (const i of index.within(turned.high, turned.low)) yield compare(candidate, turned, i, held[i], true, rule);
  }
}

/**
 * Later copies of earlier pictures within one set, where `sameTexts` says that they are also called the same; pictures
 * that look alike under different names stay.
 *
 * @returns indices to drop, each with the index of the picture that stays
 */
export function internalDuplicates(
  pictures: readonly PictureSignature[],
  sameTexts: (a: number, b: number) => boolean,
  rule: MatchRule = duplicateRule,
): Map<number, number> {
  const index = new HashIndex(pictures, rule.radius);
  const dropped = new Map<number, number>();
  for (let later = 1; later < pictures.length; later++) {
    for (const earlier of index.within(pictures[later].high, pictures[later].low)) {
      if (earlier >= later) break;
      if (dropped.has(earlier) || !sameTexts(earlier, later)) continue;
      if (compare(later, pictures[later], earlier, pictures[earlier], false, rule).confirmed) {
        dropped.set(later, earlier);
        break;
      }
    }
  }
  return dropped;
}

function compare(
  candidate: number,
  a: PictureSignature,
  held: number,
  b: PictureSignature,
  isMirrored: boolean,
  rule: MatchRule,
): HashMatch {
  const difference = thumbnailDifference(a.thumbnail, b.thumbnail);
  const contrast = Math.min(thumbnailContrast(a.thumbnail), thumbnailContrast(b.thumbnail));
  const relativeDifference = difference === 0 ? 0 : difference / Math.max(contrast, 1e-6);
  const ratio = a.aspect / b.aspect;
  const tolerance = a.onWhite || b.onWhite ? rule.onWhite : rule.photo;
  const confirmed =
    difference <= tolerance.difference &&
    relativeDifference <= tolerance.relativeDifference &&
    ratio <= aspectRatio &&
    ratio >= 1 / aspectRatio;
  return { candidate, held, difference, relativeDifference, mirrored: isMirrored, confirmed };
}
