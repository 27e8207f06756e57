import { ShapeError } from "../../core/errors.ts";
import type { DetectionImage } from "./detection-set.ts";
import { pythonShuffledOrder } from "./python-shuffle.ts";

/** The seeds of ODinW's three subsets; results are the mean over them. */
export const odinwSeeds: readonly number[] = [3, 30, 300];

/** A box with a side of one pixel or less does not make a picture worth training on. */
const LEAST_SIDE = 1;

/**
 * A k-shot subset by the protocol of ODinW, GLIP's, arXiv:2112.03857: pictures with a box of more than one pixel, in
 * order of image id, shuffled by Python's generator; each is taken if any class in it has been seen in fewer than `shots`
 * pictures taken so far, and then counts once for every class in it. So a class has at least `shots` pictures where that
 * many exist, often more beside rarer classes; ties are settled by the shuffled order alone.
 *
 * @param seed  0 leaves the order as it is
 * @returns     pictures in the order they were taken
 */
export function fewShotSubset(images: readonly DetectionImage[], shots: number, seed: number): DetectionImage[] {
  if (!Number.isInteger(shots) || shots < 1) {
    throw new ShapeError(`fewShotSubset: shots must be a positive integer, got ${shots}`);
  }
  const usable = images.toSorted(byId).filter(({ boxes }) => boxes.some(({ box }) => isLarge(box)));
  const order = seed === 0 ? usable.keys() : pythonShuffledOrder(usable.length, seed);
  const seen = new Map<number, number>(); // pictures taken of each class
  const taken: DetectionImage[] = [];
  for (const place of order) {
    const image = usable[place];
    const classes = new Set(image.boxes.map((box) => box.class));
    if (![...classes].some((own) => (seen.get(own) ?? 0) < shots)) continue;
    taken.push(image);
    for (const own of classes) seen.set(own, (seen.get(own) ?? 0) + 1);
  }
  return taken;
}

function isLarge([x0, y0, x1, y1]: readonly [number, number, number, number]): boolean {
  return x1 - x0 > LEAST_SIDE && y1 - y0 > LEAST_SIDE;
}

/** Image ids where both have one of the same kind, else keys. */
function byId(a: DetectionImage, b: DetectionImage): number {
  const [x, y] = typeof a.id === typeof b.id && a.id !== undefined ? [a.id, b.id ?? 0] : [a.key, b.key];
  return x < y ? -1 : x > y ? 1 : 0;
}
