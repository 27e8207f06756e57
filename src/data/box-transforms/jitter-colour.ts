import type { RgbImage } from "../../core/image.ts";
import type { Rng } from "../../core/rng.ts";

/** Half-widths b of the ranges [1 − b, 1 + b] that factors are drawn from; 0 leaves things as they are. */
export interface ColourJitter {
  readonly brightness: number; // of all values
  readonly contrast: number; // of the distance from middle grey
  readonly saturation: number; // of the distance of each pixel from its own grey
}

const middleGrey = 114;

/** Changes brightness, contrast and saturation in place, by factors drawn at random. */
export function jitterColour({ data }: RgbImage, { brightness, contrast, saturation }: ColourJitter, rng: Rng): void {
  const gain = rng.uniform(1 - brightness, 1 + brightness);
  const spread = rng.uniform(1 - contrast, 1 + contrast);
  const colour = rng.uniform(1 - saturation, 1 + saturation);
  const slope = gain * spread;
  const offset = middleGrey * (1 - spread) + 0.5; // rounds
  for (let i = 0; i < data.length; i += 3) {
    const grey = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    for (let channel = i; channel < i + 3; channel++) {
      const value = slope * (grey + colour * (data[channel] - grey)) + offset;
      data[channel] = value <= 0 ? 0 : value >= 255 ? 255 : value;
    }
  }
}
