import type { Box } from "../../core/boxes.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import type { Rng } from "../../core/rng.ts";
import { type Cutout, viewCutout } from "./cutout.ts";
import { maskBounds, type RunLengths, runLengths } from "./run-lengths.ts";

/** Something to paste, and what it is called. */
export interface NamedCutout {
  readonly cutout: Cutout;
  readonly class: number;
}

export interface ComposeOptions {
  /** Range of the longer side of a pasted object over the shorter one of the picture; drawn log-uniformly. */
  readonly scale?: readonly [number, number];
  /** Least share of an object that must be seen, of what its cut-out covers. */
  readonly leastVisible?: number;
}

/** An object of a composite as it can be seen. */
export interface ComposedObject {
  readonly class: number;
  readonly box: Box; // of the visible part, whole pixels
  readonly area: number; // visible pixels
  readonly visible: number; // share of the whole object in (0, 1]
  readonly segmentation: RunLengths;
}

export interface Composite {
  readonly image: RgbImage;
  readonly objects: readonly ComposedObject[];
}

const defaultScale = [0.08, 0.7] as const;
const leastSide = 6; // of what can be seen, pixels
const places = 6; // tries for a place where enough of everything stays visible
const opaqueFrom = 128;

interface Pasted {
  readonly class: number;
  readonly whole: number; // pixels of the object, hidden and cut-off ones as well
}

/**
 * Cut-outs pasted on a background, each at a random place, size, angle and colour, later ones over earlier ones and
 * over the picture's edge. What an object shows is known exactly, since every pixel remembers who owns it. A place that
 * would leave less than `leastVisible` of any object is not taken, so that no unlabelled piece of one is to be seen.
 * After Dwibedi et al., "Cut, Paste and Learn", arXiv:1708.01642.
 */
export function composePicture(
  background: RgbImage,
  cutouts: readonly NamedCutout[],
  rng: Rng,
  { scale = defaultScale, leastVisible = 0.4 }: ComposeOptions = {},
): Composite {
  const { width, height } = background;
  const image = rgbImage(width, height, background.data.slice());
  const owner = new Uint16Array(width * height); // 0: background, else the number of the object
  const pasted: Pasted[] = [];
  for (const { cutout, class: own } of cutouts) {
    const view = viewAtRandom(cutout, Math.min(width, height), scale, rng);
    const whole = view.opacity.reduce((sum, value) => sum + (value >= opaqueFrom ? 1 : 0), 0);
    if (whole === 0) continue;
    for (let attempt = 0; attempt < places; attempt++) {
      const left = Math.round(rng.uniform(-0.35, 0.35) * view.width + rng.uniform() * (width - view.width));
      const top = Math.round(rng.uniform(-0.35, 0.35) * view.height + rng.uniform() * (height - view.height));
      const claimed = claim(owner, width, height, view, left, top, pasted.length + 1);
      if (!leavesEnough(claimed, [...pasted, { class: own, whole }], leastVisible, width)) continue;
      owner.set(claimed);
      pasted.push({ class: own, whole });
      blend(image, view, left, top);
      break;
    }
  }
  return { image, objects: pasted.map((one, i) => describe(owner, width, height, one, i + 1)) };
}

function viewAtRandom(cutout: Cutout, side: number, [low, high]: readonly [number, number], rng: Rng): Cutout {
  const longest = side * low * (high / low) ** rng.uniform();
  const turns = rng.uniform() < 0.6;
  const light = rng.uniform(0.6, 1.25);
  const tint = (): number => light * rng.uniform(0.9, 1.1);
  return viewCutout(cutout, {
    longest,
    radians: turns ? rng.normal(0, 0.35) : 0,
    flip: rng.uniform() < 0.5,
    gain: [tint(), tint(), tint()],
    soften: rng.uniform() < 0.3,
  });
}

/** Who would own each pixel if the object were pasted there. */
function claim(
  owner: Uint16Array,
  width: number,
  height: number,
  view: Cutout,
  left: number,
  top: number,
  number: number,
): Uint16Array {
  const claimed = owner.slice();
  for (let y = Math.max(0, -top); y < Math.min(view.height, height - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(view.width, width - left); x++) {
      if (view.opacity[y * view.width + x] >= opaqueFrom) claimed[(y + top) * width + x + left] = number;
    }
  }
  return claimed;
}

function leavesEnough(owner: Uint16Array, pasted: readonly Pasted[], leastVisible: number, width: number): boolean {
  const seen = new Uint32Array(pasted.length + 1);
  const bounds = pasted.map(() => [owner.length, owner.length, -1, -1]); // x0, y0, x1, y1
  for (let at = 0; at < owner.length; at++) {
    const own = owner[at];
    if (own === 0) continue;
    seen[own]++;
    const [x, y, box] = [at % width, Math.floor(at / width), bounds[own - 1]];
    if (x < box[0]) box[0] = x;
    if (y < box[1]) box[1] = y;
    if (x > box[2]) box[2] = x;
    if (y > box[3]) box[3] = y;
  }
  return pasted.every(({ whole }, i) => {
    const [x0, y0, x1, y1] = bounds[i];
    return seen[i + 1] >= leastVisible * whole && Math.max(x1 - x0, y1 - y0) + 1 >= leastSide;
  });
}

function blend(image: RgbImage, view: Cutout, left: number, top: number): void {
  for (let y = Math.max(0, -top); y < Math.min(view.height, image.height - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(view.width, image.width - left); x++) {
      const from = y * view.width + x;
      const to = 3 * ((y + top) * image.width + x + left);
      const through = 1 - view.opacity[from] / 255;
      for (let channel = 0; channel < 3; channel++) {
        image.data[to + channel] = Math.round(image.data[to + channel] * through + view.colours[3 * from + channel]);
      }
    }
  }
}

function describe(owner: Uint16Array, width: number, height: number, one: Pasted, number: number): ComposedObject {
  const segmentation = runLengths(width, height, (at) => owner[at] === number);
  const { box, area } = maskBounds(segmentation) as { box: Box; area: number }; // `leavesEnough` has seen to it
  return { class: one.class, box, area, visible: area / one.whole, segmentation };
}
