import sharp, { type Sharp } from "sharp";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";

/** How a picture becomes a square: whole with white borders, the same without borders of its own, or its middle. */
export type SquareFit = "pad" | "trim-pad" | "crop";

/** The words of a fit, for manifests. */
export const fitTitles: Readonly<Record<SquareFit, string>> = {
  pad: "longer side scaled to the size, padded with white",
  "trim-pad": "borders of one colour cut off, longer side scaled to the size, padded with white",
  crop: "shorter side scaled to the size, middle cropped",
};

const sharpFit = { pad: "contain", "trim-pad": "contain", crop: "cover" } as const;
const maximumPixels = 268_000_000;
/** Drawings are scaled down to this side before their borders are cut off. */
const trimmingSide = 512;

/**
 * Decodes a picture into a square of `size` pixels: alpha composited on white, then scaled with an antialiased cubic
 * filter. SVG is drawn at the size it states.
 *
 * @param name  the picture's name, for the error message
 * @throws      UserError `corrupt`
 */
export async function decodeSquare(bytes: Uint8Array, size: number, fit: SquareFit, name: string): Promise<RgbImage> {
  try {
    const options = { failOn: "truncated", limitInputPixels: maximumPixels } as const;
    const picture = fit === "trim-pad" ? await trimmed(sharp(bytes, options)) : sharp(bytes, options);
    const { data, info } = await picture
      .autoOrient()
      .flatten({ background: "white" })
      .toColourspace("srgb")
      .resize(size, size, { fit: sharpFit[fit], background: "white", kernel: "cubic", fastShrinkOnLoad: false })
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`${info.channels} channels`);
    return rgbImage(size, size, new Uint8Array(data.buffer, data.byteOffset, data.length));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new UserError("corrupt", `${name}: must be a picture that decodes, got ${detail}. It is left out.`, {
      cause: error,
    });
  }
}

async function trimmed(picture: Sharp): Promise<Sharp> {
  const { data, info } = await picture
    .flatten({ background: "white" })
    .toColourspace("srgb")
    .resize(trimmingSide, trimmingSide, { fit: "inside", withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const cut = await sharp(data, { raw: { width, height, channels } })
    .trim()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return sharp(cut.data, { raw: { width: cut.info.width, height: cut.info.height, channels: cut.info.channels } });
}
