import sharp from "sharp";
import type { RgbImage } from "../../core/image.ts";
import { type FailedFile, failedFile } from "../../io/file-walk.ts";
import { mirrored, type PictureSignature, pictureSignature } from "../curation/perceptual-hash.ts";
import type { LabelledImage, SplitName } from "../labelled/labelled-set.ts";
import type { OpenedLabelledSet } from "../labelled/open-labelled-set.ts";

/** An image that decoded. */
export interface ScannedImage {
  readonly split: SplitName;
  readonly image: LabelledImage;
  readonly width: number; // pixels
  readonly height: number; // pixels
  readonly signature: PictureSignature;
  /** That of the mirrored picture; for training images of a set with other splits, which are looked for in them. */
  readonly turned?: PictureSignature;
}

export interface ScanResult {
  readonly scanned: readonly ScannedImage[];
  readonly unreadable: readonly FailedFile[]; // by key
}

export interface ScanOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

const decodeAhead = 8;
const largestSide = 512; // pixels; a signature needs far fewer

/** Decodes every image once, for its size and signature; one that does not decode is reported. */
export async function scanImages(set: OpenedLabelledSet, { signal, onProgress }: ScanOptions): Promise<ScanResult> {
  const scanned: ScannedImage[] = [];
  const unreadable: FailedFile[] = [];
  const queue = [...set.splits].flatMap(([split, images]) => images.map((image) => ({ split, image })));
  const isDivided = set.splits.size > 1;
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    while (next < queue.length) {
      signal?.throwIfAborted();
      const at = next++;
      const { split, image } = queue[at];
      try {
        scanned[at] = await scan(set, split, image, isDivided && split !== "test");
      } catch (error) {
        signal?.throwIfAborted();
        unreadable.push(failedFile(image.key, error));
      }
      onProgress?.(++done);
    }
  };
  await Promise.all(Array.from({ length: decodeAhead }, work));
  unreadable.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { scanned: scanned.filter((one) => one !== undefined), unreadable };
}

async function scan(
  set: OpenedLabelledSet,
  split: SplitName,
  image: LabelledImage,
  isSearched: boolean,
): Promise<ScannedImage> {
  const picture = await set.decode(image);
  const small = await shrunk(picture);
  const signature = pictureSignature(small);
  const turned = isSearched ? pictureSignature(mirrored(small)) : undefined;
  return { split, image, width: picture.width, height: picture.height, signature, ...(turned && { turned }) };
}

async function shrunk(image: RgbImage): Promise<RgbImage> {
  const { width, height, data } = image;
  if (Math.max(width, height) <= largestSide) return image;
  const smaller = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(largestSide, largestSide, { fit: "inside" })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: smaller.info.width, height: smaller.info.height, data: smaller.data };
}
