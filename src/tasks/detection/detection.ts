import { UserError } from "../../core/errors.ts";
import type { LetterboxedImage } from "../../data/box-transforms/letterboxed-image.ts";
import { type FailedFile, type FoundFile, failedFile, walkImageFiles } from "../../io/file-walk.ts";
import { type DecodedFile, decodeImageFiles } from "../../io/image-stream.ts";
import type { FoundInPicture } from "../../models/detection/decode-detections.ts";
import type { BoxFinder, BoxNamer, Detection } from "./types.ts";

/** One picture's answer, best detection first. */
export interface DetectedFile {
  readonly path: string;
  readonly width: number; // of the picture as it is shown, pixels
  readonly height: number;
  readonly detections: readonly Detection[];
}

/** A picture with its answer, for those who draw on it. */
export interface DetectedPicture extends DetectedFile {
  /** With the original's pixels if `keepsOriginal` asked for them. */
  readonly image: LetterboxedImage;
}

export interface DetectFilesOptions {
  readonly finder: BoxFinder;
  readonly namer: BoxNamer;
  /** Class embeddings, for a finder whose classes are texts. */
  readonly texts?: Float32Array | undefined;
  /** Of a class at a place, before centerness; low, since the namer selects. */
  readonly candidateThreshold: number;
  /** Boxes of a picture that the namer is given. */
  readonly candidates: number;
  readonly nmsThreshold: number;
  /** Whether namer or caller need the pictures' own pixels. */
  readonly keepsOriginal: boolean;
  /** Whether the namer reads the level that the finder's encoder has made. */
  readonly keepsLevel?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const picturesAtOnce = 8;
/** Pixels' bytes after which a group is closed early, so that large photographs do not fill memory. */
const bytesAtOnce = 128 * 2 ** 20;

type Entry = DecodedFile<LetterboxedImage> | FailedFile;

/**
 * Finds and names what is in the pictures of files and folders, streaming results in input order with constant memory: a
 * few pictures. A file that fails is a failure in its place; the rest goes on.
 */
export function detectFiles(
  paths: Iterable<string>,
  options: DetectFilesOptions,
): AsyncGenerator<DetectedPicture | FailedFile> {
  const { signal } = options;
  return detectFound(walkImageFiles(paths, signal ? { signal } : {}), options);
}

/** As {@link detectFiles}, of files that were found already. */
export async function* detectFound(
  files: AsyncIterable<FoundFile | FailedFile>,
  options: DetectFilesOptions,
): AsyncGenerator<DetectedPicture | FailedFile> {
  const { finder, keepsOriginal, signal } = options;
  const decode = (path: string) => finder.readImage(path, { keepsOriginal, signal });
  let group: Entry[] = [];
  let bytes = 0;
  for await (const entry of decodeImageFiles(files, { decode, decodeAhead: picturesAtOnce, signal })) {
    group.push(entry);
    if (!("error" in entry)) bytes += entry.image.data.byteLength + (entry.image.originalData?.byteLength ?? 0);
    if (group.length < picturesAtOnce && bytes < bytesAtOnce) continue;
    yield* detectGroup(group, options);
    [group, bytes] = [[], 0];
  }
  yield* detectGroup(group, options);
}

async function* detectGroup(
  group: readonly Entry[],
  options: DetectFilesOptions,
): AsyncGenerator<DetectedPicture | FailedFile> {
  const images = group.flatMap((entry) => ("error" in entry ? [] : [entry.image]));
  const found = await findCandidates(images, options);
  let next = 0;
  for (const entry of group) {
    options.signal?.throwIfAborted();
    yield "error" in entry ? entry : await named(entry, found[next++] as FoundInPicture, options);
  }
}

/** What the finder gives the namer, a picture each. */
export async function findCandidates(
  images: readonly LetterboxedImage[],
  { finder, texts, candidateThreshold, candidates, nmsThreshold, keepsLevel, signal }: DetectFilesOptions,
): Promise<FoundInPicture[]> {
  if (images.length === 0) return [];
  const thresholds = { scoreThreshold: candidateThreshold, maxDetections: candidates, nmsThreshold };
  return finder.detect(images, { ...thresholds, texts, keepsLevel, signal });
}

/** What the namer refuses of one picture (an absurd crop, say) must not take the others with it. */
async function named(
  { file: { path }, image }: DecodedFile<LetterboxedImage>,
  found: FoundInPicture,
  { namer, signal }: DetectFilesOptions,
): Promise<DetectedPicture | FailedFile> {
  try {
    const detections = await namer(found, image, signal);
    return { path, width: image.originalWidth, height: image.originalHeight, detections, image };
  } catch (error) {
    if (!(error instanceof UserError) || error.code === "cancelled") throw error;
    return failedFile(path, new UserError(error.code, `${path}: ${error.message}`, { cause: error }));
  }
}
