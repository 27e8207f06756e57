import type { DetectedBoxes, TruthBoxes } from "../../src/metrics/detection/detection-boxes.ts";

/** One generated case, drawn as scripts/fixtures/coco_ap.py draws it. */
export interface CocoCase {
  readonly classes: number;
  readonly truth: readonly TruthBoxes[];
  readonly detected: readonly DetectedBoxes[];
  readonly checksum: number;
}

const SIDES = [3, 40, 127, 128, 129, 200, 383, 384, 385, 700, 1200];

/** Case number `number`; its checksum must equal the stored one, else the two generators have parted. */
export function drawCocoCase(number: number): CocoCase {
  const draws = new Draws(number);
  const classes = 1 + draws.below(4);
  const mostTruths = [0, 3, 6, 12][draws.below(4)];
  const mostFound = number % 12 ? [0, 4, 12, 30][draws.below(4)] : 400;
  const levels = [4, 20, 1000][draws.below(3)];
  const shake = [2, 20, 80][draws.below(3)];
  const shares = { crowd: draws.below(3), ignored: draws.below(3) };
  const truth: TruthBoxes[] = [];
  const detected: DetectedBoxes[] = [];
  for (let pictures = 1 + draws.below(5); pictures > 0; pictures--) {
    const truths = Array.from({ length: draws.below(mostTruths + 1) }, () => {
      const box = draws.box();
      const crowd = Number(draws.below(10) < shares.crowd);
      const ignored = Number(draws.below(10) < shares.ignored);
      const whole = (box[2] * box[3]) / 16;
      const area = draws.below(3) === 0 ? whole * ((1 + draws.below(8)) / 8) : whole;
      return { box, crowd, ignored, area, own: draws.below(classes) };
    });
    const found = Array.from({ length: draws.below(mostFound + 1) }, () => {
      let box: number[];
      let own: number;
      if (truths.length > 0 && draws.below(10) < 7) {
        const near = truths[draws.below(truths.length)];
        box = near.box.map((side) => side + draws.below(shake + 1));
        own = draws.below(8) ? near.own : draws.below(classes);
      } else {
        box = draws.box();
        own = draws.below(classes);
      }
      return { box, own, score: (1 + draws.below(levels)) / levels };
    });
    truth.push({
      boxes: truths.flatMap(({ box }) => edges(box)),
      classes: truths.map(({ own }) => own),
      areas: truths.map(({ area }) => area),
      crowd: truths.map(({ crowd }) => crowd),
      ignored: truths.map(({ ignored }) => ignored),
    });
    detected.push({
      boxes: found.flatMap(({ box }) => edges(box)),
      classes: found.map(({ own }) => own),
      scores: found.map(({ score }) => score),
    });
  }
  return { classes, truth, detected, checksum: draws.checksum };
}

/** Quarters of a pixel as left, top, width, height, to edges in pixels. */
function edges([x, y, width, height]: readonly number[]): number[] {
  return [x / 4, y / 4, (x + width) / 4, (y + height) / 4];
}

/** Xorshift of 32 bits, and a checksum of all that was drawn. */
class Draws {
  checksum = 0;
  #state: number;

  constructor(number: number) {
    this.#state = (Math.imul(number, 2654435761 | 0) + 12345) >>> 0;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    const drawn = this.#state % n;
    this.checksum = (Math.imul(this.checksum, 31) + drawn) >>> 0;
    return drawn;
  }

  box(): number[] {
    const [x, y] = [this.below(1600), this.below(1200)];
    return [x, y, SIDES[this.below(SIDES.length)], SIDES[this.below(SIDES.length)]];
  }
}
