import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import type { FailedFile } from "../io/file-walk.ts";
import { decodingVersion } from "../io/images.ts";
import { DecodedPixels, decodeEach, readPixelIndex, requireDecoded, writePixelFiles } from "./decoded-pixels.ts";
import type { LabelledImage, LabelledSet } from "./labelled/labelled-set.ts";
import { type PreprocessConfig, preprocess } from "./transforms.ts";

export interface PixelStoreOptions {
  readonly set: Pick<LabelledSet, "name" | "fingerprint" | "decode">;
  readonly images: readonly LabelledImage[];
  readonly preprocessing: Omit<PreprocessConfig, "mean" | "std">; // every picture becomes `size`² of it
  /** Where the pixels are kept from run to run; in memory alone if left out. */
  readonly cacheFolder?: string;
  /** Larger stores are read from their file picture by picture, in bytes; 1 GiB if left out. */
  readonly memoryLimit?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

const indexSchema = z.strictObject({
  format: z.literal("florence-pixels/1"),
  rows: z.array(z.int().nonnegative()), // of the pictures asked for, those that decoded
  failures: z.array(z.custom<FailedFile>((value) => typeof value === "object" && value !== null)),
});

/**
 * The pictures of a set as an encoder of one size takes them, decoded and resized once, so that no training step waits
 * for a decoder. Kept in a file by what they were made from, and in memory as well where they fit.
 */
export class PixelStore {
  readonly size: number;
  /** The pictures that decoded, in the order asked for; row i of the store is that of `images[i]`. */
  readonly images: readonly LabelledImage[];
  /** The pictures that did not, each with its error. */
  readonly failures: readonly FailedFile[];
  readonly #pixels: DecodedPixels;

  private constructor(
    images: readonly LabelledImage[],
    failures: readonly FailedFile[],
    size: number,
    pixels: DecodedPixels,
  ) {
    this.images = images;
    this.failures = failures;
    this.size = size;
    this.#pixels = pixels;
  }

  /**
   * @throws UserError: empty if no picture decodes; too-large if they do not fit in memory and there is no cache folder
   */
  static async open(options: PixelStoreOptions): Promise<PixelStore> {
    const { set, images, preprocessing, cacheFolder, memoryLimit = 2 ** 30 } = options;
    const bytes = images.length * bytesOf(preprocessing.size);
    if (cacheFolder === undefined) {
      if (bytes > memoryLimit) {
        const rule = `${images.length} pictures need ${bytes} bytes, at most ${memoryLimit} are kept in memory`;
        throw new UserError("too-large", `${set.name}: ${rule}. Give a cache folder.`);
      }
      const memory = new Uint8Array(bytes);
      const { rows, failures } = await decodeAll(options, (pixels, row) => memory.set(pixels, row * pixels.length));
      return PixelStore.#of(options, rows, failures, DecodedPixels.inMemory(memory));
    }
    const path = join(cacheFolder, "pixels", identityOf(options));
    const index = (await readIndex(path, options)) ?? (await writeStore(path, options));
    const used = index.rows.length * bytesOf(preprocessing.size);
    const pixels = await DecodedPixels.inFile(`${path}.bin`, used, memoryLimit);
    return PixelStore.#of(options, index.rows, index.failures, pixels);
  }

  static #of(
    { set, images, preprocessing }: PixelStoreOptions,
    rows: readonly number[],
    failures: readonly FailedFile[],
    pixels: DecodedPixels,
  ): PixelStore {
    requireDecoded(set.name, rows.length, failures);
    const kept = rows.map((row) => images[row] as LabelledImage);
    return new PixelStore(kept, failures, preprocessing.size, pixels);
  }

  get count(): number {
    return this.images.length;
  }

  /** Copies row `row`, [size, size, 3], into `target` from `offset` on. */
  copy(row: number, target: Uint8Array, offset: number): void {
    const length = bytesOf(this.size);
    this.#pixels.copy(row * length, length, target, offset);
  }

  close(): void {
    this.#pixels.close();
  }
}

const bytesOf = (size: number): number => size * size * 3;

/** A digest of all that decides the pixels. */
function identityOf({ set, images, preprocessing }: PixelStoreOptions): string {
  const hash = createHash("sha256").update(
    JSON.stringify([`pixels/${decodingVersion}`, set.fingerprint, sorted(preprocessing)]),
  );
  for (const { key } of images) hash.update(`${JSON.stringify(key)}\n`);
  return hash.digest("hex").slice(0, 40);
}

function sorted(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Decodes all pictures and hands on those that decode. */
async function decodeAll(
  { set, images, preprocessing, signal, onProgress }: PixelStoreOptions,
  take: (pixels: Uint8Array, row: number) => void | Promise<void>,
): Promise<{ rows: number[]; failures: FailedFile[] }> {
  const rows: number[] = [];
  const failures = await decodeEach({
    ...{ images, signal, onProgress },
    decode: async (image) => preprocess(await set.decode(image), preprocessing),
    nameOf: ({ key }) => key,
    async take(pixels, index) {
      await take(pixels, rows.length);
      rows.push(index);
    },
  });
  return { rows, failures };
}

type Index = z.infer<typeof indexSchema>;

function writeStore(path: string, options: PixelStoreOptions): Promise<Index> {
  return writePixelFiles(path, async (append) => ({
    format: "florence-pixels/1",
    ...(await decodeAll(options, append)),
  }));
}

function readIndex(path: string, { preprocessing, images }: PixelStoreOptions): Promise<Index | undefined> {
  return readPixelIndex(path, indexSchema, ({ rows, failures }) =>
    rows.length + failures.length === images.length ? rows.length * bytesOf(preprocessing.size) : undefined,
  );
}
