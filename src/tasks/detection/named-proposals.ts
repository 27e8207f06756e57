import { type Box, clipBox } from "../../core/boxes.ts";
import type { RgbImage } from "../../core/image.ts";
import { classWiseNonMaxSuppression } from "../../core/non-max-suppression.ts";
import { cropPicture } from "../../data/box-transforms/augment-boxes.ts";
import type { FoundBoxes } from "./decode-detections.ts";
import type { LookedAt } from "./picture-detector.ts";
import type { FindsBoxes } from "./score-detections.ts";

/** Probabilities of the classes for each picture, one row a picture. */
export type NamePictures = (pictures: readonly RgbImage[]) => Promise<readonly ArrayLike<number>[]>;

/** How proposals become detections. The paper leaves all of it open (Florence, arXiv:2111.11432 §3.6). */
export interface NamingOptions {
  readonly proposals: number; // best of a picture that are named
  readonly margin: number; // share of a box's sides that its crop has more on each side
  readonly objectness: number; // α of objectness^α · class^(1 − α)
  readonly classesABox: number; // most probable classes that a box is reported as
  readonly iouThreshold: number; // of suppression among boxes of one class
}

export const defaultNaming: NamingOptions = {
  proposals: 40,
  margin: 0.1,
  objectness: 0.5,
  classesABox: 3,
  iouThreshold: 0.6,
};

/** Zero-shot detection as Florence does it: class-agnostic proposals, each cut out and named by an image–text model. */
export class NamedProposals implements FindsBoxes {
  readonly #proposer: FindsBoxes;
  readonly #name: NamePictures;
  readonly #options: NamingOptions;

  constructor(proposer: FindsBoxes, name: NamePictures, options: NamingOptions = defaultNaming) {
    this.#proposer = proposer;
    this.#name = name;
    this.#options = options;
  }

  async detect(pictures: readonly LookedAt[]): Promise<FoundBoxes[]> {
    const proposed = await this.#proposer.detect(pictures);
    const results: FoundBoxes[] = [];
    for (const [i, { image }] of pictures.entries()) results.push(await this.#named(image, proposed[i]));
    return results;
  }

  async #named(image: RgbImage, { boxes, scores }: FoundBoxes): Promise<FoundBoxes> {
    const { proposals, margin, objectness, classesABox, iouThreshold } = this.#options;
    const count = Math.min(proposals, scores.length);
    const crops = Array.from({ length: count }, (_, i) => cropOf(image, boxes.subarray(4 * i, 4 * i + 4), margin));
    const probabilities = count > 0 ? await this.#name(crops) : [];
    const all = { boxes: [] as number[], classes: [] as number[], scores: [] as number[] };
    for (const [i, row] of probabilities.entries()) {
      const order = Array.from(row, (_, k) => k).sort((a, b) => row[b] - row[a]);
      for (const k of order.slice(0, classesABox)) {
        all.boxes.push(...boxes.subarray(4 * i, 4 * i + 4));
        all.classes.push(k);
        all.scores.push(scores[i] ** objectness * row[k] ** (1 - objectness));
      }
    }
    const kept = classWiseNonMaxSuppression(all.boxes, all.scores, all.classes, { iouThreshold, limit: 100 });
    return {
      boxes: Float32Array.from([...kept].flatMap((i) => all.boxes.slice(4 * i, 4 * i + 4))),
      classes: Int32Array.from(kept, (i) => all.classes[i]),
      scores: Float32Array.from(kept, (i) => all.scores[i]),
    };
  }
}

function cropOf(image: RgbImage, [x0, y0, x1, y1]: Float32Array, margin: number): RgbImage {
  const [across, down] = [margin * (x1 - x0), margin * (y1 - y0)];
  const wide: Box = [Math.floor(x0 - across), Math.floor(y0 - down), Math.ceil(x1 + across), Math.ceil(y1 + down)];
  const [left, top, right, bottom] = clipBox(wide, image.width, image.height);
  const first = [Math.min(left, image.width - 1), Math.min(top, image.height - 1)] as const;
  const region: Box = [...first, Math.max(first[0] + 1, right), Math.max(first[1] + 1, bottom)];
  return cropPicture({ image, boxes: [] }, region).image;
}
