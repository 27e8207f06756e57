import { ShapeError, UserError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import { augmentBoxes, type BoxAugmentConfig } from "../../data/box-transforms/augment-boxes.ts";
import type { BoxedPicture, PictureBox } from "../../data/box-transforms/boxed-picture.ts";
import { type ColourJitter, jitterColour } from "../../data/box-transforms/jitter-colour.ts";
import { mosaic } from "../../data/box-transforms/mosaic.ts";
import type { PictureSource } from "../../data/detection/picture-store.ts";
import type { ObjectAnnotations } from "./assignment.ts";
import type { DetectionBatch } from "./detection-objective.ts";

/** Pictures to train on, and how often they are drawn beside others. */
export interface TrainingSource {
  readonly pictures: PictureSource;
  /** Share of the draws, against those of the other sources; 1 if left out. */
  readonly weight?: number;
  /** The detector's class for each class of the source; the same if left out. */
  readonly classes?: readonly number[];
}

/** What training may do to pictures with boxes. */
export interface DetectionAugmentation extends BoxAugmentConfig {
  /** Probability that four pictures are put together to one. */
  readonly mosaic?: number;
  readonly colour?: ColourJitter;
}

export interface TrainingBatchesOptions {
  readonly sources: readonly TrainingSource[];
  readonly batch: number;
  readonly side: number; // of the square that pictures are fitted into, pixels
  readonly augmentation: DetectionAugmentation;
  readonly seed: number;
  /** From this step on there are no mosaics, so that the end of the training sees whole pictures; never if left out. */
  readonly mosaicUntil?: number;
  /** Class embeddings of length 1, [K, D], for a detector whose classes are texts. */
  readonly texts?: Float32Array;
}

/**
 * Batches of a detector's training, each a pure function of seed and step, so that a resumed run sees what an unbroken
 * one would. Each source is gone through in a new random order every time; of several, each has its share of the draws.
 */
export class TrainingBatches {
  readonly #options: TrainingBatchesOptions;
  readonly #rng: Rng;
  readonly #shares: readonly number[]; // cumulated
  readonly #orders = new Map<string, Uint32Array>();

  /** @throws UserError (empty) without a picture to draw */
  constructor(options: TrainingBatchesOptions) {
    const weights = options.sources.map(({ pictures, weight = 1 }) => (pictures.count > 0 ? weight : 0));
    const total = weights.reduce((a, b) => a + b, 0);
    if (!(total > 0)) throw new UserError("empty", "Training: there must be a picture to train on, got none.");
    let sum = 0;
    this.#shares = weights.map((weight) => {
      sum += weight / total;
      return sum;
    });
    this.#options = options;
    this.#rng = new Rng(`detection-batches:${options.seed}`);
  }

  /** The batch of a step. */
  at(step: number): DetectionBatch {
    const { batch, side, texts } = this.#options;
    const pixels = new Uint8Array(batch * side * side * 3);
    const objects = Array.from({ length: batch }, (_, slot) => {
      const { image, boxes } = this.#picture(step, slot);
      pixels.set(image.data, slot * side * side * 3);
      return annotations(boxes);
    });
    return { pixels, height: side, width: side, objects, ...(texts ? { texts } : {}) };
  }

  #picture(step: number, slot: number): BoxedPicture {
    const { batch, side, augmentation, mosaicUntil = Number.POSITIVE_INFINITY } = this.#options;
    const draw = step * batch + slot;
    const rng = this.#rng.fork(draw);
    const isMosaic = rng.uniform() < (augmentation.mosaic ?? 0) && step < mosaicUntil;
    const first = this.#draw(draw, rng);
    const whole = isMosaic
      ? mosaic([first, this.#anyPicture(rng), this.#anyPicture(rng), this.#anyPicture(rng)], side, side, rng)
      : first;
    const placed = augmentBoxes(whole, side, side, isMosaic ? { flip: augmentation.flip ?? 0 } : augmentation, rng);
    if (augmentation.colour) jitterColour(placed.image, augmentation.colour, rng);
    return placed;
  }

  /** The picture whose turn it is. */
  #draw(draw: number, rng: Rng): BoxedPicture {
    const at = this.#sourceAt(rng.uniform());
    const share = this.#shares[at] - (this.#shares[at - 1] ?? 0);
    const turn = Math.floor(draw * share); // of about so many draws from this source, if there are others
    const count = this.#options.sources[at].pictures.count;
    return this.#read(at, this.#order(at, Math.floor(turn / count), count)[turn % count]);
  }

  #anyPicture(rng: Rng): BoxedPicture {
    const at = this.#sourceAt(rng.uniform());
    return this.#read(at, rng.int(this.#options.sources[at].pictures.count));
  }

  #sourceAt(share: number): number {
    return Math.max(
      0,
      this.#shares.findIndex((upTo) => share < upTo),
    );
  }

  #read(at: number, index: number): BoxedPicture {
    const { pictures, classes } = this.#options.sources[at];
    const picture = pictures.picture(index);
    if (!classes) return picture;
    return { ...picture, boxes: picture.boxes.map((box) => ({ ...box, class: classAt(classes, box.class) })) };
  }

  /** The order of one pass over a source. */
  #order(at: number, pass: number, count: number): Uint32Array {
    const key = `${at}:${pass}`;
    const known = this.#orders.get(key);
    if (known) return known;
    const order = this.#rng.fork(`order:${key}`).permutation(count);
    if (this.#orders.size >= 2 * this.#options.sources.length + 2) this.#orders.clear();
    this.#orders.set(key, order);
    return order;
  }
}

function classAt(classes: readonly number[], own: number): number {
  const found = classes[own];
  if (found === undefined)
    throw new ShapeError(`TrainingBatches: classes must map class ${own}, got ${classes.length}`);
  return found;
}

/** Boxes as the objective takes them. */
export function annotations(boxes: readonly PictureBox[]): ObjectAnnotations {
  const objects = boxes.filter(({ ignored }) => !ignored);
  const ignored = boxes.filter((box) => box.ignored);
  return {
    boxesXyxy: Float32Array.from(objects.flatMap(({ box }) => box)),
    classes: Int32Array.from(objects, (box) => box.class),
    ...(ignored.length > 0 ? { ignoredXyxy: Float32Array.from(ignored.flatMap(({ box }) => box)) } : {}),
  };
}
