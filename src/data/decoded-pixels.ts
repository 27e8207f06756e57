import { closeSync, openSync, readSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { writeAtomically, writeFileAtomic } from "../io/atomic-files.ts";
import { type FailedFile, failedFile } from "../io/file-walk.ts";

/** The decoded bytes of many pictures, in memory or in a file. */
export class DecodedPixels {
  readonly #memory: Uint8Array | undefined;
  readonly #file: number | undefined;

  private constructor(source: Uint8Array | number) {
    if (typeof source === "number") this.#file = source;
    else this.#memory = source;
  }

  static inMemory(bytes: Uint8Array): DecodedPixels {
    return new DecodedPixels(bytes);
  }

  /** A file of `length` bytes: read whole if it is no larger than `memoryLimit`, else read from part by part. */
  static async inFile(path: string, length: number, memoryLimit: number): Promise<DecodedPixels> {
    return new DecodedPixels(length <= memoryLimit ? await readFile(path) : openSync(path, "r"));
  }

  /** Copies `length` bytes from `start` on into `target` from `offset` on. @throws UserError (corrupt) past the end */
  copy(start: number, length: number, target: Uint8Array, offset = 0): void {
    if (this.#memory) target.set(this.#memory.subarray(start, start + length), offset);
    else if (readSync(this.#file as number, target, offset, length, start) !== length) {
      throw new UserError("corrupt", `Pixels: byte ${start} must be there, the file ends before. Remove the cache.`);
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }
}

const decodedAtOnce = 8;

export interface DecodeEachOptions<Image, Decoded> {
  readonly images: readonly Image[];
  readonly decode: (image: Image) => Promise<Decoded>;
  /** What a failure is told by. */
  readonly nameOf: (image: Image) => string;
  /** Told each picture that decoded, in order. */
  readonly take: (decoded: Decoded, index: number) => void | Promise<void>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Decodes a few pictures at a time and hands them on in order; gives those that failed. */
export async function decodeEach<Image, Decoded extends object>(
  options: DecodeEachOptions<Image, Decoded>,
): Promise<FailedFile[]> {
  const { images, decode, nameOf, take, signal, onProgress } = options;
  const failures: FailedFile[] = [];
  const attempt = async (image: Image): Promise<{ decoded: Decoded } | FailedFile> => {
    try {
      return { decoded: await decode(image) };
    } catch (error) {
      return failedFile(nameOf(image), error);
    }
  };
  for (let from = 0; from < images.length; from += decodedAtOnce) {
    signal?.throwIfAborted();
    const group = await Promise.all(images.slice(from, from + decodedAtOnce).map(attempt));
    for (const [i, result] of group.entries()) {
      if ("decoded" in result) await take(result.decoded, from + i);
      else failures.push(result);
    }
    onProgress?.(Math.min(images.length, from + decodedAtOnce), images.length);
  }
  return failures;
}

/** Writes `PATH.bin` by `fill`, then `PATH.json`, the index that it gives: with the index the store is whole. */
export async function writePixelFiles<Index>(
  path: string,
  fill: (append: (pixels: Uint8Array) => Promise<void>) => Promise<Index>,
): Promise<Index> {
  let index: Index | undefined;
  await writeAtomically(`${path}.bin`, async (file) => {
    index = await fill(async (pixels) => {
      await file.write(pixels);
    });
  });
  await writeFileAtomic(`${path}.json`, JSON.stringify(index));
  return index as Index;
}

/**
 * The index of a whole store; undefined if there is none, or it is damaged: then it is made again.
 *
 * @param bytesOf  how long the file of an index is; undefined if the index is not of what is asked for
 */
export async function readPixelIndex<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  bytesOf: (index: z.infer<Schema>) => number | undefined,
): Promise<z.infer<Schema> | undefined> {
  try {
    const index = schema.parse(JSON.parse(await readFile(`${path}.json`, "utf8")));
    const { size } = await stat(`${path}.bin`);
    return size === bytesOf(index) ? index : undefined;
  } catch {
    return undefined;
  }
}

/** @throws UserError (empty) if no picture of a set decoded, with the first reason */
export function requireDecoded(name: string, count: number, failures: readonly FailedFile[]): void {
  if (count > 0) return;
  const first = failures[0] ? ` The first error: ${failures[0].error.message}` : "";
  throw new UserError("empty", `${name}: must have a picture that decodes, got none.${first}`);
}
