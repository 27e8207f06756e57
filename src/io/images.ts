import { readFile, stat } from "node:fs/promises";
import sharp from "sharp";
import { UserError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import { fileError } from "./file-errors.ts";

export interface DecodeOptions {
  /** Largest width × height that is decoded; 100 million if left out. */
  readonly maxPixels?: number;
  /** Largest file that is read, bytes; 512 MiB if left out. */
  readonly maxBytes?: number;
  /** What errors call an image given as bytes. */
  readonly name?: string;
}

/** Raised when a file's pixels come out otherwise (test/parity/pictures.test.ts fails then): caches made of pixels go by it. */
export const decodingVersion = 2;

const DEFAULT_MAX_PIXELS = 100e6;
const DEFAULT_MAX_BYTES = 512 * 2 ** 20;

/** The binary formats that are read. */
export type ImageFormat = "jpeg" | "png" | "gif" | "webp" | "tiff" | "avif";

/** First bytes of the binary formats we read; a file that has them but will not parse is corrupt rather than unsupported. */
const SIGNATURES: readonly { readonly at: number; readonly bytes: string; readonly format: ImageFormat }[] = [
  { at: 0, bytes: "\xff\xd8\xff", format: "jpeg" },
  { at: 0, bytes: "\x89PNG", format: "png" },
  { at: 0, bytes: "GIF8", format: "gif" },
  { at: 8, bytes: "WEBP", format: "webp" },
  { at: 0, bytes: "II*\0", format: "tiff" }, // little-endian
  { at: 0, bytes: "MM\0*", format: "tiff" }, // big-endian
  { at: 4, bytes: "ftypavi", format: "avif" },
];

/**
 * Decodes a picture to 8-bit RGB as Pillow's `convert("RGB")` does, so that models see what they were trained on: colour
 * profiles not applied, CMYK by the plain formula, the high byte of 16-bit values, the first frame of an animation. Differs:
 * EXIF orientation is applied, transparency is laid on white, and 16-bit grey is not cut off at 255.
 *
 * @param source  path of a file, or its bytes
 * @throws        UserError naming the file: not-found, unreadable, empty, unsupported (no picture, or a format we do
 *                not read), corrupt (truncated files too), too-large
 */
export async function decodeImage(source: string | Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  const { maxPixels = DEFAULT_MAX_PIXELS, maxBytes = DEFAULT_MAX_BYTES } = options;
  const subject = typeof source === "string" ? source : (options.name ?? "image bytes");
  const bytes = typeof source === "string" ? await readImageFile(source, maxBytes) : source;
  if (bytes.length === 0) throw new UserError("empty", `${subject}: must be a picture, got 0 bytes. Replace the file.`);
  try {
    const picture = sharp(bytes, { failOn: "error", limitInputPixels: maxPixels, ignoreIcc: true }).autoOrient();
    const isCmyk = mayBeCmyk(bytes) && (await picture.metadata()).space === "cmyk";
    if (isCmyk) picture.pipelineColourspace("cmyk").toColourspace("cmyk");
    else picture.flatten({ background: "#ffffff" }).toColourspace("srgb");
    const { data, info } = await picture.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return isCmyk ? inksToRgb(width, height, channels, data) : toRgb(width, height, channels, data);
  } catch (error) {
    throw await decodingError(subject, bytes, maxPixels, error);
  }
}

/** Spares most pictures a second reading of their header, which takes a sixth of a small JPEG's decoding. */
function mayBeCmyk(bytes: Uint8Array): boolean {
  const format = imageFormatOf(bytes);
  if (format === "tiff") return true;
  return format === "jpeg" && jpegComponents(bytes) !== 3;
}

/** As the frame header says; undefined where none is found. */
function jpegComponents(bytes: Uint8Array): number | undefined {
  for (let at = 2; at + 9 < bytes.length; ) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0xda) return undefined; // no segment, or the scan ahead of a frame
    if (marker === 0xff) {
      at++; // a filling byte
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) return bytes[at + 9];
    at += 2 + bytes[at + 2] * 256 + bytes[at + 3];
  }
  return undefined;
}

/** For a process that decodes several pictures at a time: threads of its own for each picture would only cost. */
export function decodeInOneThread(): void {
  sharp.concurrency(1);
}

async function readImageFile(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const stats = await stat(path); // before opening: to open a pipe would wait for its writer
    if (stats.isDirectory()) throw new UserError("unsupported", `${path}: must be a picture, got a folder.`);
    if (!stats.isFile()) throw new UserError("unsupported", `${path}: must be a file, got a device or a pipe.`);
    if (stats.size > maxBytes) {
      throw new UserError("too-large", `${path}: must be at most ${maxBytes} bytes, got ${stats.size}.`);
    }
    return await readFile(path);
  } catch (error) {
    throw fileError(path, error);
  }
}

/** Samples as RGB triples; grey, where it comes through as one channel, is repeated. */
function toRgb(width: number, height: number, channels: number, samples: Uint8Array): RgbImage {
  if (channels === 3) return rgbImage(width, height, samples);
  const image = rgbImage(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[i * 3 + channel] = samples[i * channels + (channels < 3 ? 0 : channel)];
    }
  }
  return image;
}

/** Cyan, magenta, yellow and black (0 is no ink) as RGB: what the black leaves of white, less the ink's share of it. */
function inksToRgb(width: number, height: number, channels: number, inks: Uint8Array): RgbImage {
  const image = rgbImage(width, height);
  for (let from = 0, to = 0; to < image.data.length; from += channels, to += 3) {
    const white = 255 - inks[from + 3];
    for (let ink = 0; ink < 3; ink++) {
      const product = inks[from + ink] * white + 128;
      image.data[to + ink] = white - (((product >> 8) + product) >> 8); // product / 255, rounded
    }
  }
  return image;
}

/** The format that an image's first 16 bytes tell; undefined for SVG, which is text, and for what is no image. */
export function imageFormatOf(bytes: Uint8Array): ImageFormat | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(16, bytes.length)).toString("latin1");
  return SIGNATURES.find(({ at, bytes: signature }) => start.startsWith(signature, at))?.format;
}

async function decodingError(
  subject: string,
  bytes: Uint8Array,
  maxPixels: number,
  cause: unknown,
): Promise<UserError> {
  const message = cause instanceof Error ? cause.message : String(cause);
  const options = { cause };
  if (message.includes("pixel limit") || message.includes("Input image exceeds")) {
    const size = await statedSize(bytes);
    const rule = `${subject}: must have at most ${maxPixels} pixels`;
    return new UserError("too-large", `${rule}, got ${size}. Scale it down first.`, options);
  }
  if (message.includes("unsupported image format") && imageFormatOf(bytes) === undefined) {
    const rule = `${subject}: must be a JPEG, PNG, WebP, GIF, TIFF, AVIF or SVG picture`;
    return new UserError("unsupported", `${rule}, got other content. Convert or leave it out.`, options);
  }
  const detail = message.split("\n")[0].trim();
  return new UserError("corrupt", `${subject}: must decode in full, got "${detail}". Replace the file.`, options);
}

/** The size a header claims, for the message only. */
async function statedSize(bytes: Uint8Array): Promise<string> {
  try {
    const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return `${width}×${height}`;
  } catch {
    return "more"; // the limit was already reported by the decoder; only the numbers are missing
  }
}
