import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import type { FailedFile } from "../../io/file-walk.ts";
import { decodingVersion } from "../../io/images.ts";
import { type BoxedPicture, moveBoxes, type PictureBox } from "../box-transforms/boxed-picture.ts";
import { DecodedPixels, decodeEach, readPixelIndex, requireDecoded, writePixelFiles } from "../decoded-pixels.ts";
import { resize } from "../resize.ts";
import type { DetectionImage, DetectionSet } from "./detection-set.ts";

/** Pictures with boxes that can be had again and again, by number: from a store, or made up. */
export interface PictureSource {
  readonly count: number;
  /** The same for the same number. Its pixels must not be changed. */
  picture(index: number): BoxedPicture;
}

/** Pictures of a set, with what the set says of each. */
export interface SetPictures extends PictureSource {
  readonly images: readonly DetectionImage[];
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

const indexSchema = z.strictObject({
  format: z.literal("florence-detection-pixels/1"),
  rows: z.array(z.tuple([z.int().nonnegative(), z.int().positive(), z.int().positive()])), // image, width, height
  failures: z.array(z.custom<FailedFile>((value) => typeof value === "object" && value !== null)),
});
type Index = z.infer<typeof indexSchema>;

/**
 * Pictures of a detection set, decoded and made small once, so that no training step waits for a decoder. Kept in a file
 * by what they were made from, and in memory as well where they fit.
 */
export class DetectionPictures implements SetPictures {
  /** The pictures that decoded, in the order asked for. */
  readonly images: readonly DetectionImage[];
  /** The pictures that did not, each with its error. */
  readonly failures: readonly FailedFile[];
  readonly #rows: Index["rows"];
  readonly #offsets: readonly number[];
  readonly #pixels: DecodedPixels;

  private constructor(asked: readonly DetectionImage[], { rows, failures }: Index, pixels: DecodedPixels) {
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
      requireDecoded(set.name, index.rows.length, index.failures);
      return new DetectionPictures(images, index, DecodedPixels.inMemory(Buffer.concat(chunks)));
    }
    const path = join(cacheFolder, "detection-pixels", identityOf(options));
    const index = (await readIndex(path, images.length)) ?? (await writeStore(path, options));
    requireDecoded(set.name, index.rows.length, index.failures);
    const pixels = await DecodedPixels.inFile(`${path}.bin`, bytesOf(index), memoryLimit);
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
    const image = rgbImage(width, height);
    this.#pixels.copy(this.#offsets[index] as number, image.data.length, image.data);
    return { image, boxes: moveBoxes(pictureBoxes(original), placement, image) };
  }

  /** Some of the pictures as a source of their own, such as a k-shot subset; those that did not decode are left out. */
  select(images: readonly DetectionImage[]): SetPictures {
    const places = new Map(this.images.map(({ key }, i) => [key, i]));
    const chosen = images.flatMap(({ key }) => places.get(key) ?? []);
    return {
      count: chosen.length,
      images: chosen.map((index) => this.images[index] as DetectionImage),
      picture: (index) => this.picture(chosen[index] as number),
    };
  }

  close(): void {
    this.#pixels.close();
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

const bytesOf = ({ rows }: Index): number => rows.reduce((total, [, width, height]) => total + 3 * width * height, 0);

function identityOf({ set, images, longestSide }: PictureStoreOptions): string {
  const hash = createHash("sha256").update(
    JSON.stringify([`detection-pixels/${decodingVersion}`, set.fingerprint, longestSide]),
  );
  for (const { key } of images) hash.update(`${JSON.stringify(key)}\n`);
  return hash.digest("hex").slice(0, 40);
}

/** Decodes all pictures and hands on those that decode. */
async function decodeAll(
  { set, images, longestSide, signal, onProgress }: PictureStoreOptions,
  take: (pixels: Uint8Array) => void | Promise<void>,
): Promise<Index> {
  const rows: Index["rows"] = [];
  const failures = await decodeEach({
    ...{ images, signal, onProgress },
    decode: async (image) => shrunk(await set.decode(image), longestSide),
    nameOf: ({ path }) => path,
    async take({ data, width, height }, index) {
      await take(data);
      rows.push([index, width, height]);
    },
  });
  return { format: "florence-detection-pixels/1", rows, failures };
}

function writeStore(path: string, options: PictureStoreOptions): Promise<Index> {
  return writePixelFiles(path, (append) => decodeAll(options, append));
}

function readIndex(path: string, asked: number): Promise<Index | undefined> {
  return readPixelIndex(path, indexSchema, (index) =>
    index.rows.length + index.failures.length === asked ? bytesOf(index) : undefined,
  );
}
