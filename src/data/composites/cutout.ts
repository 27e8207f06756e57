import { ShapeError } from "../../core/errors.ts";
import { rgbImage } from "../../core/image.ts";
import { resize } from "../resize.ts";

/** An object cut out of its picture: colours multiplied by opacity, so that no hidden colour bleeds into its edge. */
export interface Cutout {
  readonly width: number; // pixels
  readonly height: number;
  readonly colours: Uint8Array; // [height, width, 3]
  readonly opacity: Uint8Array; // [height, width], 255 = the object
}

/** A cut-out from plain R G B A bytes. @throws ShapeError if there are not four a pixel */
export function cutoutFromRgba(width: number, height: number, rgba: Uint8Array): Cutout {
  if (rgba.length !== width * height * 4) {
    throw new ShapeError(`cutoutFromRgba: ${width}×${height} needs ${width * height * 4} bytes, got ${rgba.length}`);
  }
  const colours = new Uint8Array(width * height * 3);
  const opacity = new Uint8Array(width * height);
  for (let i = 0; i < opacity.length; i++) {
    const alpha = rgba[4 * i + 3];
    opacity[i] = alpha;
    for (let channel = 0; channel < 3; channel++) {
      colours[3 * i + channel] = Math.round((rgba[4 * i + channel] * alpha) / 255);
    }
  }
  return { width, height, colours, opacity };
}

/** How a cut-out is changed before it is pasted. */
export interface CutoutView {
  readonly longest: number; // side of the unturned cut-out, pixels
  readonly radians: number; // turned by, anticlockwise on the screen
  readonly flip: boolean;
  readonly gain: readonly [number, number, number]; // of red, green and blue
  readonly soften: boolean; // averages 3×3 pixels, as a camera out of focus does
}

/** The cut-out scaled, flipped, turned and coloured anew; as large as what it then covers. */
export function viewCutout(cutout: Cutout, { longest, radians, flip, gain, soften }: CutoutView): Cutout {
  const scale = longest / Math.max(cutout.width, cutout.height);
  const scaled = scaleCutout(
    cutout,
    Math.max(1, Math.round(cutout.width * scale)),
    Math.max(1, Math.round(cutout.height * scale)),
  );
  const turned = radians === 0 && !flip ? scaled : turnCutout(scaled, radians, flip);
  const colours = turned.colours.slice();
  for (let i = 0; i < colours.length; i++) {
    colours[i] = Math.min(turned.opacity[Math.floor(i / 3)], Math.round(colours[i] * gain[i % 3])); // never above opacity
  }
  const coloured = { ...turned, colours };
  return soften ? softenCutout(coloured) : coloured;
}

function scaleCutout(cutout: Cutout, width: number, height: number): Cutout {
  const { colours, opacity } = cutout;
  const source = { width: cutout.width, height: cutout.height };
  const triples = new Uint8Array(colours.length);
  for (let i = 0; i < opacity.length; i++) triples.fill(opacity[i], 3 * i, 3 * i + 3);
  const scaled = resize(rgbImage(source.width, source.height, triples), width, height, "bilinear");
  return {
    width,
    height,
    colours: resize(rgbImage(source.width, source.height, colours), width, height, "bilinear").data,
    opacity: scaled.data.filter((_, i) => i % 3 === 0),
  };
}

/** Turns about the middle, by bilinear samples; the frame grows to hold the turned corners. */
function turnCutout(cutout: Cutout, radians: number, flip: boolean): Cutout {
  const [cos, sin] = [Math.cos(radians), Math.sin(radians)];
  const width = Math.ceil(Math.abs(cutout.width * cos) + Math.abs(cutout.height * sin) - 1e-6);
  const height = Math.ceil(Math.abs(cutout.width * sin) + Math.abs(cutout.height * cos) - 1e-6);
  const target = {
    width,
    height,
    colours: new Uint8Array(width * height * 3),
    opacity: new Uint8Array(width * height),
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [dx, dy] = [x + 0.5 - width / 2, y + 0.5 - height / 2];
      const u = cos * dx - sin * dy;
      const v = sin * dx + cos * dy;
      sampleInto(target, y * width + x, cutout, (flip ? -u : u) + cutout.width / 2 - 0.5, v + cutout.height / 2 - 0.5);
    }
  }
  return target;
}

/** One bilinear sample at pixel (x, y) of a cut-out; transparent outside of it. */
function sampleInto(target: Cutout, at: number, source: Cutout, x: number, y: number): void {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const sums = [0, 0, 0, 0];
  for (let corner = 0; corner < 4; corner++) {
    const [column, row] = [left + (corner & 1), top + (corner >> 1)];
    if (column < 0 || row < 0 || column >= source.width || row >= source.height) continue;
    const weight = (1 - Math.abs(x - column)) * (1 - Math.abs(y - row));
    const from = row * source.width + column;
    for (let channel = 0; channel < 3; channel++) sums[channel] += weight * source.colours[3 * from + channel];
    sums[3] += weight * source.opacity[from];
  }
  for (let channel = 0; channel < 3; channel++) target.colours[3 * at + channel] = Math.round(sums[channel]);
  target.opacity[at] = Math.round(sums[3]);
}

function softenCutout(cutout: Cutout): Cutout {
  const { width, height } = cutout;
  const mean = (plane: Uint8Array, channels: number): Uint8Array => {
    const out = new Uint8Array(plane.length);
    for (let i = 0; i < plane.length; i++) {
      const pixel = Math.floor(i / channels);
      const [x, y] = [pixel % width, Math.floor(pixel / width)];
      let sum = 0;
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          sum += plane[(v * width + u) * channels + (i % channels)];
        }
      }
      out[i] = Math.round(sum / 9); // what lies outside is transparent
    }
    return out;
  };
  return { width, height, colours: mean(cutout.colours, 3), opacity: mean(cutout.opacity, 1) };
}
