import sharp from "sharp";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";

/** How a picture becomes a square: whole with white borders, or its middle. */
export type SquareFit = "pad" | "crop";

/** The words of a fit, for manifests. */
export const fitTitles: Readonly<Record<SquareFit, string>> = {
  pad: "longer side scaled to the size, padded with white",
  crop: "shorter side scaled to the size, middle cropped",
};

const sharpFit = { pad: "contain", crop: "cover" } as const;

/**
 * Decodes a picture into a square of `size` pixels: alpha composited on white, then scaled with an antialiased cubic
 * filter. SVG is drawn at the size it states.
 *
 * @param name  the picture's name, for the error message
 * @throws      UserError `corrupt`
 */
export async function decodeSquare(bytes: Uint8Array, size: number, fit: SquareFit, name: string): Promise<RgbImage> {
  try {
    const { data, info } = await sharp(bytes, { failOn: "truncated", limitInputPixels: 64_000_000 })
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
