import type { RgbImage } from "../core/image.ts";
import { type FailedFile, type FoundFile, failedFile } from "./file-walk.ts";
import { decodeImage } from "./images.ts";

/** A file with its pixels. */
export interface DecodedFile {
  readonly file: FoundFile;
  readonly image: RgbImage;
}

export interface ImageStreamOptions {
  /** Reads one file; tests put their own here. */
  readonly decode?: (path: string) => Promise<RgbImage>;
  /** How many files are read and decoded ahead of the consumer. */
  readonly decodeAhead?: number;
  readonly signal?: AbortSignal;
}

/**
 * Decodes files a few ahead of the consumer, keeping their order. A file that fails becomes a failure in its place;
 * failures already in `files` pass through. Memory holds `decodeAhead` images at most.
 */
export async function* decodeImageFiles(
  files: AsyncIterable<FoundFile | FailedFile>,
  { decode = decodeImage, decodeAhead = 8, signal }: ImageStreamOptions = {},
): AsyncGenerator<DecodedFile | FailedFile> {
  const pending: Promise<DecodedFile | FailedFile>[] = [];
  try {
    for await (const file of files) {
      signal?.throwIfAborted();
      pending.push("error" in file ? Promise.resolve(file) : decodeOne(file, decode));
      if (pending.length >= decodeAhead) yield (await pending.shift()) as DecodedFile | FailedFile;
    }
    while (pending.length > 0) yield (await pending.shift()) as DecodedFile | FailedFile;
  } finally {
    await Promise.all(pending); // decodeOne never rejects: this only waits for reads under way
  }
}

async function decodeOne(
  file: FoundFile,
  decode: (path: string) => Promise<RgbImage>,
): Promise<DecodedFile | FailedFile> {
  try {
    return { file, image: await decode(file.path) };
  } catch (error) {
    return failedFile(file.path, error);
  }
}
