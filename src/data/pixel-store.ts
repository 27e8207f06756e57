import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { writeAtomically, writeFileAtomic } from "../io/atomic-files.ts";
import { type FailedFile, failedFile } from "../io/file-walk.ts";
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

const decodedAtOnce = 8;
const indexSchema = z.strictObject({
  format: z.literal("florence-pixels/1"),
  rows: z.array(z.int().nonnegative()), // of the pictures asked for, those that decoded
  failures: z.array(z.custom<FailedFile>((value) => typeof value === "object" && value !== null)),
});

type Pixels =
  | { readonly kind: "memory"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly file: number };

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
  readonly #pixels: Pixels;

  private constructor(images: readonly LabelledImage[], failures: readonly FailedFile[], size: number, pixels: Pixels) {
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
      return PixelStore.#of(options, rows, failures, { kind: "memory", bytes: memory });
    }
    const path = join(cacheFolder, "pixels", identityOf(options));
    const index = (await readIndex(path, options)) ?? (await writeStore(path, options));
    const used = index.rows.length * bytesOf(preprocessing.size);
    const pixels: Pixels =
      used <= memoryLimit
        ? { kind: "memory", bytes: await readFile(`${path}.bin`) }
        : { kind: "file", file: openSync(`${path}.bin`, "r") };
    return PixelStore.#of(options, index.rows, index.failures, pixels);
  }

  static #of(
    { set, images, preprocessing }: PixelStoreOptions,
    rows: readonly number[],
    failures: readonly FailedFile[],
    pixels: Pixels,
  ): PixelStore {
    if (rows.length === 0) {
      const first = failures[0] ? ` The first error: ${failures[0].error.message}` : "";
      throw new UserError("empty", `${set.name}: must have a picture that decodes, got none.${first}`);
    }
    const kept = rows.map((row) => images[row] as LabelledImage);
    return new PixelStore(kept, failures, preprocessing.size, pixels);
  }

  get count(): number {
    return this.images.length;
  }

  /** Copies row `row`, [size, size, 3], into `target` from `offset` on. */
  copy(row: number, target: Uint8Array, offset: number): void {
    const length = bytesOf(this.size);
    const pixels = this.#pixels;
    if (pixels.kind === "memory") target.set(pixels.bytes.subarray(row * length, (row + 1) * length), offset);
    else if (readSync(pixels.file, target, offset, length, row * length) !== length) {
      throw new UserError("corrupt", `Pixels: row ${row} must be there, the file ends before it. Remove the cache.`);
    }
  }

  close(): void {
    if (this.#pixels.kind === "file") closeSync(this.#pixels.file);
  }
}

const bytesOf = (size: number): number => size * size * 3;

/** A digest of all that decides the pixels. */
function identityOf({ set, images, preprocessing }: PixelStoreOptions): string {
  const hash = createHash("sha256").update(JSON.stringify(["pixels/1", set.fingerprint, sorted(preprocessing)]));
  for (const { key } of images) hash.update(`${JSON.stringify(key)}\n`);
  return hash.digest("hex").slice(0, 40);
}

function sorted(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Decodes a few pictures at a time and hands them on in order, those that fail left out. */
async function decodeAll(
  { set, images, preprocessing, signal, onProgress }: PixelStoreOptions,
  take: (pixels: Uint8Array, row: number) => void | Promise<void>,
): Promise<{ rows: number[]; failures: FailedFile[] }> {
  const rows: number[] = [];
  const failures: FailedFile[] = [];
  const decode = async (image: LabelledImage): Promise<Uint8Array | FailedFile> => {
    try {
      return preprocess(await set.decode(image), preprocessing);
    } catch (error) {
      return failedFile(image.key, error);
    }
  };
  for (let from = 0; from < images.length; from += decodedAtOnce) {
    signal?.throwIfAborted();
    const group = await Promise.all(images.slice(from, from + decodedAtOnce).map(decode));
    for (const [i, result] of group.entries()) {
      if (!(result instanceof Uint8Array)) {
        failures.push(result);
        continue;
      }
      await take(result, rows.length);
      rows.push(from + i);
    }
    onProgress?.(Math.min(images.length, from + decodedAtOnce), images.length);
  }
  return { rows, failures };
}

type Index = z.infer<typeof indexSchema>;

async function writeStore(path: string, options: PixelStoreOptions): Promise<Index> {
  let index: Index | undefined;
  await writeAtomically(`${path}.bin`, async (file) => {
    const { rows, failures } = await decodeAll(options, async (pixels) => {
      await file.write(pixels);
    });
    index = { format: "florence-pixels/1", rows, failures };
  });
  await writeFileAtomic(`${path}.json`, JSON.stringify(index));
  return index as Index;
}

/** The index of a whole store; undefined if there is none, or it is damaged: then it is made again. */
async function readIndex(path: string, { preprocessing, images }: PixelStoreOptions): Promise<Index | undefined> {
  try {
    const index = indexSchema.parse(JSON.parse(await readFile(`${path}.json`, "utf8")));
    const { size } = await stat(`${path}.bin`);
    const fits = index.rows.length + index.failures.length === images.length;
    return fits && size === index.rows.length * bytesOf(preprocessing.size) ? index : undefined;
  } catch {
    return undefined;
  }
}
