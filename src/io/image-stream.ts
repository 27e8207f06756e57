import type { RgbImage } from "../core/image.ts";
import { type FailedFile, type FoundFile, failedFile } from "./file-walk.ts";
import { decodeImage } from "./images.ts";

/** A file with its pixels, in whatever form `decode` gives them. */
export interface DecodedFile<Image = RgbImage> {
  readonly file: FoundFile;
  readonly image: Image;
}

export interface ImageStreamOptions<Image = RgbImage> {
  /** Reads one file; {@link decodeImage} if left out. */
  readonly decode?: ((path: string) => Promise<Image>) | undefined;
  /** How many files are read and decoded ahead of the consumer. */
  readonly decodeAhead?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decodes files a few ahead of the consumer, keeping their order. A file that fails becomes a failure in its place;
 * failures already in `files` pass through. Memory holds `decodeAhead` images at most.
 */
export async function* decodeImageFiles<Image = RgbImage>(
  files: AsyncIterable<FoundFile | FailedFile>,
  options: ImageStreamOptions<Image> = {},
): AsyncGenerator<DecodedFile<Image> | FailedFile> {
  const { decodeAhead = 8, signal } = options;
  const decode =
    options.decode ?? (decodeImage as (path: string) => Promise<unknown> as (path: string) => Promise<Image>);
  const pending: Promise<DecodedFile<Image> | FailedFile>[] = [];
  try {
    for await (const file of files) {
      signal?.throwIfAborted();
      pending.push("error" in file ? Promise.resolve(file) : decodeOne(file, decode, signal));
      if (pending.length >= decodeAhead) yield (await pending.shift()) as DecodedFile<Image> | FailedFile;
    }
    while (pending.length > 0) yield (await pending.shift()) as DecodedFile<Image> | FailedFile;
  } finally {
    await Promise.allSettled(pending); // waits for reads under way
  }
}

async function decodeOne<Image>(
  file: FoundFile,
  decode: (path: string) => Promise<Image>,
  signal?: AbortSignal,
): Promise<DecodedFile<Image> | FailedFile> {
  try {
    return { file, image: await decode(file.path) };
  } catch (error) {
    signal?.throwIfAborted(); // an abort is no fault of the file
    return failedFile(file.path, error);
  }
}
