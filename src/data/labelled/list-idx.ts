import { createHash } from "node:crypto";
import { basename } from "node:path";
import { UserError } from "../../core/errors.ts";
import { openPackedFile, readUnpacked } from "../../io/archives.ts";
import { unpackedFile } from "../../io/unpacked-files.ts";
import type { LabelledEntry, ListContext } from "./entry.ts";
import type { SplitName } from "./labelled-set.ts";

/** A pair of idx files, plain or gzipped: images, and their labels. */
export interface IdxPair {
  readonly images: string;
  readonly labels: string;
  readonly split?: SplitName;
}

const fashion = [
  ...["t-shirt or top", "trouser", "pullover", "dress", "coat"],
  ...["sandal", "shirt", "sneaker", "bag", "ankle boot"],
];

/** Class names of sets whose idx files hold numbers only, by the SHA-256 of an unpacked label file. */
const knownClasses: Readonly<Record<string, readonly string[]>> = {
  bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9: fashion, // Fashion-MNIST, training labels
  "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": fashion, // its test labels
};

/** The class names that belong to a label file, known by its bytes: Fashion-MNIST's. Xiao et al., arXiv:1708.07747. */
export async function classesOfLabelFile(path: string): Promise<readonly string[] | undefined> {
  const sha256 = createHash("sha256")
    .update(await readUnpacked(path))
    .digest("hex");
  return Object.hasOwn(knownClasses, sha256) ? knownClasses[sha256] : undefined;
}

/**
 * The images of a pair of idx files (LeCun's MNIST format): grey, 8 bits, their labels numbers from 0. Gzipped files
 * are unpacked into the cache once.
 *
 * @throws UserError naming a file: corrupt, unsupported (another type or number of axes), mismatch (other counts)
 */
export async function* listIdx(
  { images, labels, split }: IdxPair,
  context: ListContext,
): AsyncGenerator<LabelledEntry> {
  const path = await unpackedFile(images, context.cacheFolder);
  const pixels = await readIdxHeader(images, path, 3);
  const labelBytes = await readUnpacked(labels);
  const classes = idxSizes(labels, labelBytes, labelBytes.length, 1);
  const [count, height, width] = pixels.sizes;
  if (classes.sizes[0] !== count) {
    const rule = `${labels}: must have a label for each of ${count} images of ${basename(images)}`;
    throw new UserError("mismatch", `${rule}, got ${classes.sizes[0]}. Pair the files that belong together.`);
  }
  const stem = basename(images).replace(/-?images.*$/, "") || "images";
  for (let i = 0; i < count; i++) {
    yield {
      key: `${stem}/${i}`,
      place: { kind: "grey", path, offset: pixels.start + i * width * height, width, height },
      labels: [String(labelBytes[classes.start + i])],
      texts: [],
      split,
      where: `${images}: image ${i}`,
    };
  }
}

async function readIdxHeader(name: string, path: string, axes: number): Promise<IdxSizes> {
  const file = await openPackedFile(path);
  try {
    return idxSizes(name, await file.read(0, Math.min(file.size, 4 + 4 * axes)), file.size, axes);
  } finally {
    await file.close();
  }
}

interface IdxSizes {
  readonly sizes: readonly number[];
  readonly start: number; // of the values
}

/** Reads the header: two zero bytes, the type (8: bytes), the number of axes, then their sizes, big-endian. */
function idxSizes(path: string, bytes: Uint8Array, fileSize: number, axes: number): IdxSizes {
  const start = 4 + 4 * axes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < start || view.getUint16(0) !== 0) {
    throw new UserError("corrupt", `${path}: must begin with an idx header, got other bytes. Fetch it anew.`);
  }
  if (view.getUint8(2) !== 8 || view.getUint8(3) !== axes) {
    const got = `type ${view.getUint8(2)} and ${view.getUint8(3)} axes`;
    throw new UserError("unsupported", `${path}: must be idx of bytes (type 8) with ${axes} axes, got ${got}.`);
  }
  const sizes = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = start + sizes.reduce((product, size) => product * size, 1);
  if (fileSize === expected && sizes.every((size) => size > 0)) return { sizes, start };
  throw new UserError("corrupt", `${path}: must have ${expected} bytes unpacked, got ${fileSize}. Fetch it anew.`);
}
