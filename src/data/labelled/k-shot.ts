import { UserError } from "../../core/errors.ts";
import type { LabelledImage } from "./labelled-set.ts";
import { unitHash } from "./split-by-hash.ts";

/** The seeds of the three draws whose mean and deviation a few-shot score is, as ODinW has them. GLIP, arXiv:2112.03857. */
export const fewShotSeeds: readonly number[] = [3, 30, 300];

/** A draw of k images a class. */
export interface FewShotDraw {
  readonly images: readonly LabelledImage[]; // in the order given
  /** Classes with fewer than k images, all of which were taken; a class without any has 0. */
  readonly shortClasses: readonly { readonly label: number; readonly count: number }[];
}

/**
 * Draws `k` images of every class: in an order made of seed and key, an image is taken while one of its classes still
 * lacks some, so an image of several classes counts for each of them (ODinW's rule), and common classes may get more
 * than k. The k-shot draw of a seed is part of its (k+1)-shot draw, unless images have several classes.
 *
 * @param classCount  how many classes there are; of the labels seen, if it is left out
 * @throws            UserError if k is no positive integer
 */
export function kShot(images: readonly LabelledImage[], k: number, seed: number, classCount?: number): FewShotDraw {
  if (!Number.isInteger(k) || k < 1) {
    throw new UserError("bad-argument", `Few-shot draw: k must be a positive whole number, got ${k}.`);
  }
  const hashes = images.map(({ key }) => unitHash(key, seed));
  const order = images
    .map((_, i) => i)
    .sort((a, b) => hashes[a] - hashes[b] || (images[a].key < images[b].key ? -1 : 1));
  const classes = classCount ?? 1 + Math.max(-1, ...new Set(images.flatMap(({ labels }) => labels)));
  const counts = new Uint32Array(classes);
  const taken = new Set<number>();
  for (const i of order) {
    const { labels } = images[i];
    if (!labels.some((label) => counts[label] < k)) continue;
    taken.add(i);
    for (const label of labels) counts[label]++;
  }
  const shortClasses = [...counts].map((count, label) => ({ label, count })).filter(({ count }) => count < k);
  return { images: images.filter((_, i) => taken.has(i)), shortClasses };
}
