/// <reference lib="dom" preserve="true" />
import { UserError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import type { CallOptions } from "./aborting.ts";
import { fetchFile } from "./fetch-file.ts";

/** What a picture may be given as: pixels, encoded bytes, the address of a file, or anything a page can draw. */
export type ImageSource = RgbImage | Blob | URL | string | ImageBitmapSource;

const maxPixels = 100e6; // as in Node

/**
 * Decodes a picture to 8-bit sRGB with the browser's decoders: EXIF orientation applied, transparency laid on white,
 * colour profiles not applied, the first frame of an animation. An ImageBitmap stays the caller's, who closes it.
 *
 * @throws UserError `not-found` or `network` for an address that gives nothing, `corrupt` if the browser cannot decode
 *         it, `unreadable` if it comes from another origin, `too-large` over 100 million pixels; the signal's reason
 */
export async function decodeImage(source: ImageSource, options: CallOptions = {}): Promise<RgbImage> {
  options.signal?.throwIfAborted();
  if (isRgbImage(source)) return source;
  if (typeof source === "string" || source instanceof URL) {
    return decodeImage(await fetchFile(String(source), (response) => response.blob(), options), options);
  }
  const subject = source instanceof File ? source.name : "image";
  let bitmap: ImageBitmap; // a copy even of an ImageBitmap, so that closing it takes nothing from the caller
  try {
    bitmap = await createImageBitmap(source, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none", // colour profiles are not applied, as in Node
    });
  } catch (error) {
    const rule = `${subject}: must be a picture that the browser decodes`;
    throw new UserError("corrupt", `${rule}, got "${String(error)}". Take another.`, { cause: error });
  }
  try {
    options.signal?.throwIfAborted();
    return drawOnWhite(bitmap, subject);
  } finally {
    bitmap.close(); // it holds the decoded picture until then, not until the next garbage collection
  }
}

function isRgbImage(source: ImageSource): source is RgbImage {
  return typeof source === "object" && "data" in source && source.data.length === source.width * source.height * 3;
}

function drawOnWhite(bitmap: ImageBitmap, subject: string): RgbImage {
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    const rule = `${subject}: must have at most ${maxPixels} pixels`;
    throw new UserError("too-large", `${rule}, got ${width}×${height}. Scale it down first.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", {
    alpha: false,
    colorSpace: "srgb",
    willReadFrequently: true, // kept in memory: no way through the GPU, which may round otherwise
  });
  if (!context) throw new UserError("unsupported", "decodeImage: the browser must have an OffscreenCanvas. Update it.");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const rgba = readPixels(context, width, height, subject);
  const image = rgbImage(width, height);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    image.data[to] = rgba[from];
    image.data[to + 1] = rgba[from + 1];
    image.data[to + 2] = rgba[from + 2];
  }
  return image;
}

function readPixels(
  context: OffscreenCanvasRenderingContext2D,
  width: number,
  height: number,
  subject: string,
): Uint8ClampedArray {
  try {
    return context.getImageData(0, 0, width, height).data;
  } catch (error) {
    if ((error as Error).name !== "SecurityError") throw error;
    const rule = `${subject}: must be a picture whose pixels this page may read, got one from another origin`;
    const remedy =
      'Set crossorigin="anonymous" on its element and have its server send CORS headers (Access-Control-Allow-Origin).';
    throw new UserError("unreadable", `${rule}. ${remedy}`, { cause: error });
  }
}
