import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { writeAtomically, writeFileAtomic } from "../../io/atomic-files.ts";
import { type FailedFile, failedFile } from "../../io/file-walk.ts";
import { type BoxedPicture, moveBoxes, type PictureBox } from "../box-transforms/boxed-picture.ts";
import { resize } from "../resize.ts";
import type { DetectionImage, DetectionSet } from "./detection-set.ts";

/** Pictures with boxes that can be had again and again, by number: from a store, or made up. */
export interface PictureSource {
  readonly count: number;
  /** The same for the same number. Its pixels must not be changed. */
  picture(index: number): BoxedPicture;
}

export interface PictureStoreOptions {
  readonly set: Pick<DetectionSet, "name" | "fingerprint" | "decode">;
  readonly images: readonly DetectionImage[];
  /** Longer side of the stored pictures, pixels; smaller ones stay as they are. */
  readonly longestSide: number;
  /** Where the pixels are kept from run to run; in memory alone if left out. */
  readonly cacheFolder?: string;
  /** Larger stores are read from their file picture by picture, in bytes; 1 GiB if left out. */
  readonly memoryLimit?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

const decodedAtOnce = 8;
const indexSchema = z.strictObject({
  format: z.literal("florence-detection-pixels/1"),
  rows: z.array(z.tuple([z.int().nonnegative(), z.int().positive(), z.int().positive()])), // image, width, height
  failures: z.array(z.custom<FailedFile>((value) => typeof value === "object" && value !== null)),
});
type Index = z.infer<typeof indexSchema>;

type Pixels =
  | { readonly kind: "memory"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly file: number };

/**
 * Pictures of a detection set, decoded and made small once, so that no training step waits for a decoder. Kept in a file
 * by what they were made from, and in memory as well where they fit.
 */
export class DetectionPictures implements PictureSource {
  /** The pictures that decoded, in the order asked for. */
  readonly images: readonly DetectionImage[];
  /** The pictures that did not, each with its error. */
  readonly failures: readonly FailedFile[];
  readonly #rows: Index["rows"];
  readonly #offsets: readonly number[];
  readonly #pixels: Pixels;

  private constructor(asked: readonly DetectionImage[], { rows, failures }: Index, pixels: Pixels) {
    this.images = rows.map(([image]) => asked[image] as DetectionImage);
    this.failures = failures;
    this.#rows = rows;
    this.#pixels = pixels;
    let offset = 0;
    this.#offsets = rows.map(([, width, height]) => {
      offset += 3 * width * height;
      return offset - 3 * width * height;
    });
  }

  /** @throws UserError: empty if no picture decodes; too-large if they do not fit and there is no cache folder */
  static async open(options: PictureStoreOptions): Promise<DetectionPictures> {
    const { set, images, cacheFolder, memoryLimit = 2 ** 30 } = options;
    if (cacheFolder === undefined) {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      const index = await decodeAll(options, (data) => {
        bytes += data.length;
        if (bytes > memoryLimit) {
          const rule = `pictures must take at most ${memoryLimit} bytes in memory`;
          throw new UserError("too-large", `${set.name}: ${rule}, got more. Give a cache folder.`);
        }
        chunks.push(data);
      });
      requireSome(set.name, index);
      return new DetectionPictures(images, index, { kind: "memory", bytes: plain(Buffer.concat(chunks)) });
    }
    const path = join(cacheFolder, "detection-pixels", identityOf(options));
    const index = (await readIndex(path, images.length)) ?? (await writeStore(path, options));
    requireSome(set.name, index);
    const pixels: Pixels =
      bytesOf(index) <= memoryLimit
        ? { kind: "memory", bytes: plain(await readFile(`${path}.bin`)) }
        : { kind: "file", file: openSync(`${path}.bin`, "r") };
    return new DetectionPictures(images, index, pixels);
  }

  get count(): number {
    return this.images.length;
  }

  /** A picture as stored, with its boxes in the stored size. */
  picture(index: number): BoxedPicture {
    const [, width, height] = this.#rows[index] as Index["rows"][number];
    const original = this.images[index] as DetectionImage;
    const placement = { scaleX: width / original.width, scaleY: height / original.height, left: 0, top: 0 };
    const image = rgbImage(width, height, this.#read(this.#offsets[index] as number, 3 * width * height));
    return { image, boxes: moveBoxes(pictureBoxes(original), placement, image) };
  }

  /** Some of the pictures as a source of their own, such as a k-shot subset; those that did not decode are left out. */
  select(images: readonly DetectionImage[]): PictureSource {
    const places = new Map(this.images.map(({ key }, i) => [key, i]));
    const chosen = images.flatMap(({ key }) => places.get(key) ?? []);
    return { count: chosen.length, picture: (index) => this.picture(chosen[index] as number) };
  }

  close(): void {
    if (this.#pixels.kind === "file") closeSync(this.#pixels.file);
  }

  #read(offset: number, length: number): Uint8Array {
    if (this.#pixels.kind === "memory") return this.#pixels.bytes.subarray(offset, offset + length);
    const data = new Uint8Array(length);
    if (readSync(this.#pixels.file, data, 0, length, offset) === length) return data;
    throw new UserError("corrupt", `Pixels: byte ${offset} must be there, the file ends before. Remove the cache.`);
  }
}

/** The boxes of a picture as training takes them. */
export function pictureBoxes({ boxes }: DetectionImage): PictureBox[] {
  return boxes.map(({ box, class: own, crowd, difficult }) => ({ box, class: own, ignored: crowd || difficult }));
}

/** The picture no larger than asked, in its own proportions. */
export function shrunk(image: RgbImage, longestSide: number): RgbImage {
  const scale = longestSide / Math.max(image.width, image.height);
  if (scale >= 1) return image;
  const sideOf = (side: number): number => Math.max(1, Math.round(side * scale));
  return resize(image, sideOf(image.width), sideOf(image.height), "bilinear");
}

const plain = ({ buffer, byteOffset, length }: Buffer): Uint8Array => new Uint8Array(buffer, byteOffset, length);

function requireSome(name: string, { rows, failures }: Index): void {
  if (rows.length > 0) return;
  const first = failures[0] ? ` The first error: ${failures[0].error.message}` : "";
  throw new UserError("empty", `${name}: must have a picture that decodes, got none.${first}`);
}

const bytesOf = ({ rows }: Index): number => rows.reduce((total, [, width, height]) => total + 3 * width * height, 0);

function identityOf({ set, images, longestSide }: PictureStoreOptions): string {
  const hash = createHash("sha256").update(JSON.stringify(["detection-pixels/1", set.fingerprint, longestSide]));
  for (const { key } of images) hash.update(`${JSON.stringify(key)}\n`);
  return hash.digest("hex").slice(0, 40);
}

/** Decodes a few pictures at a time and hands them on in order, those that fail left out. */
async function decodeAll(
  { set, images, longestSide, signal, onProgress }: PictureStoreOptions,
  take: (pixels: Uint8Array) => void | Promise<void>,
): Promise<Index> {
  const rows: Index["rows"] = [];
  const failures: FailedFile[] = [];
  const decode = async (image: DetectionImage): Promise<RgbImage | FailedFile> => {
    try {
      return shrunk(await set.decode(image), longestSide);
    } catch (error) {
      return failedFile(image.path, error);
    }
  };
  for (let from = 0; from < images.length; from += decodedAtOnce) {
    signal?.throwIfAborted();
    const group = await Promise.all(images.slice(from, from + decodedAtOnce).map(decode));
    for (const [i, result] of group.entries()) {
      if ("data" in result) {
        await take(result.data);
        rows.push([from + i, result.width, result.height]);
      } else failures.push(result);
    }
    onProgress?.(Math.min(images.length, from + decodedAtOnce), images.length);
  }
  return { format: "florence-detection-pixels/1", rows, failures };
}

async function writeStore(path: string, options: PictureStoreOptions): Promise<Index> {
  let index: Index | undefined;
  await writeAtomically(`${path}.bin`, async (file) => {
    index = await decodeAll(options, async (pixels) => {
      await file.write(pixels);
    });
  });
  await writeFileAtomic(`${path}.json`, JSON.stringify(index));
  return index as Index;
}

/** The index of a whole store; undefined if there is none, or it is damaged: then it is made again. */
async function readIndex(path: string, asked: number): Promise<Index | undefined> {
  try {
    const index = indexSchema.parse(JSON.parse(await readFile(`${path}.json`, "utf8")));
    const { size } = await stat(`${path}.bin`);
    return index.rows.length + index.failures.length === asked && size === bytesOf(index) ? index : undefined;
  } catch {
    return undefined;
  }
}
