import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { realpath } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { toErrorRecord } from "../../core/errors.ts";
import { type ImageHeader, readImageHeader } from "../../io/image-header.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import type { DetectionImage, DetectionProblem } from "./detection-set.ts";
import { stemAndEnding } from "./file-names.ts";
import { detectionProblem, type ProblemSink, type RawImage, type RawSet } from "./raw-set.ts";
import { frameOf, settleBoxes } from "./settle-boxes.ts";

/** A checked picture with what tells its file from others. */
export interface SettledImage {
  readonly split: SplitName;
  readonly image: DetectionImage;
  readonly identity: string;
}

export interface SettleOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const READ_AHEAD = 8;

/** Looks at every picture's header and checks its boxes; pictures in the order they were named. */
export async function settleImages(
  raw: RawSet,
  report: ProblemSink,
  { onProgress, signal }: SettleOptions = {},
): Promise<SettledImage[]> {
  const settled: SettledImage[] = [];
  const seen: Seen = { places: new Set(), keys: new Set() };
  const pending: Promise<() => void>[] = [];
  let done = 0;
  const finish = async () => {
    const settle = await (pending.shift() as Promise<() => void>);
    settle(); // in order, so that reports come in order too
    onProgress?.(++done, raw.images.length);
  };
  for (const image of raw.images) {
    signal?.throwIfAborted();
    pending.push(settleOne(image, raw.format === "coco", seen, settled, report));
    if (pending.length >= READ_AHEAD) await finish();
  }
  while (pending.length > 0) await finish();
  return withoutOverlaps(settled, report);
}

/** The files and the names of each split that were met before. */
interface Seen {
  readonly places: Set<string>; // split and real path
  readonly keys: Set<string>;
}

/** Reads a header, and returns what is to be done with it once its turn has come. */
async function settleOne(
  image: RawImage,
  keepIds: boolean,
  seen: Seen,
  settled: SettledImage[],
  report: ProblemSink,
): Promise<() => void> {
  const header = await readImageHeader(image.path).catch(toErrorRecord);
  const real = await realpath(image.path).catch(() => image.path); // a missing one is reported by its header
  return () => {
    const place = `${image.split}/${real}`;
    if ("code" in header) {
      report(unusable(image, header));
    } else if (seen.places.has(place)) {
      const finding = `a picture must be named once a split, got "${image.file}" again`;
      report(detectionProblem("duplicate-image", "left-out", { path: image.place, ...idOf(image), finding }));
    } else {
      seen.places.add(place);
      const file = freeName(image, seen.keys);
      const settledImage = settleWithHeader({ ...image, file }, header, keepIds, report);
      if (settledImage) settled.push({ split: image.split, image: settledImage, identity: header.identity });
    }
  };
}

/** A picture's name, numbered where another picture of its split has it: folders of one split may use a name twice. */
function freeName({ split, file }: RawImage, keys: Set<string>): string {
  const { stem, ending } = stemAndEnding(file);
  let free = file;
  for (let n = 2; keys.has(`${split}/${free}`); n++) free = `${stem}-${n}${ending}`;
  keys.add(`${split}/${free}`);
  return free;
}

function settleWithHeader(
  image: RawImage,
  header: ImageHeader,
  keepIds: boolean,
  report: ProblemSink,
): DetectionImage | undefined {
  const frame = frameOf(image, header, report);
  if (!frame) return undefined;
  return {
    key: `${image.split}/${image.file}`,
    file: image.file,
    path: image.path,
    width: frame.width,
    height: frame.height,
    boxes: settleBoxes(image, frame, keepIds, report),
    ...idOf(image),
    ...(image.extra ? { extra: image.extra } : {}),
  };
}

function unusable(image: RawImage, { code, message }: DetectionProblem["error"]): DetectionProblem {
  if (code === "not-found") {
    const finding = `its picture ${image.path} must be there, got nothing`;
    return detectionProblem("missing-image", "left-out", { path: image.place, code, ...idOf(image), finding });
  }
  const error = { code, message: `${message} It is left out.` };
  return { path: image.path, kind: "unreadable-image", action: "left-out", error, ...idOf(image) };
}

const evaluationRank: Readonly<Record<SplitName, number>> = { test: 0, val: 1, train: 2 };

/**
 * Takes pictures out of training that are in the validation or test split too, and out of validation those of the test
 * split; twins within a split are only noted. Files are compared whole, once their lengths and beginnings agree.
 */
async function withoutOverlaps(settled: readonly SettledImage[], report: ProblemSink): Promise<SettledImage[]> {
  const groups = new Map<string, SettledImage[]>();
  for (const one of settled) groups.set(one.identity, [...(groups.get(one.identity) ?? []), one]);
  const removed = new Set<SettledImage>();
  for (const group of groups.values()) {
    if (group.length < 2) continue;
    for (const twins of await equalFiles(group)) judgeTwins(twins, removed, report);
  }
  return settled.filter((one) => !removed.has(one));
}

/** Groups of two or more files of the same bytes. */
async function equalFiles(group: readonly SettledImage[]): Promise<SettledImage[][]> {
  const byHash = new Map<string, SettledImage[]>();
  for (const one of group) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(one.image.path), hash);
    const digest = hash.digest("hex");
    byHash.set(digest, [...(byHash.get(digest) ?? []), one]);
  }
  return [...byHash.values()].filter((twins) => twins.length > 1);
}

function judgeTwins(twins: readonly SettledImage[], removed: Set<SettledImage>, report: ProblemSink): void {
  const [first, ...others] = twins.toSorted((a, b) => evaluationRank[a.split] - evaluationRank[b.split]);
  for (const twin of others) {
    const details = { path: twin.image.path, ...idOf(twin.image) };
    if (twin.split === first.split) {
      const finding = `pictures of a split must differ, got the content of ${first.image.path}`;
      report(detectionProblem("duplicate-image", "noted", { ...details, finding }));
    } else {
      removed.add(twin);
      const finding = `a picture must be in one split, got the content of ${first.image.path}`;
      report(detectionProblem("split-overlap", "left-out", { ...details, finding }));
    }
  }
}

function idOf({ id }: { readonly id?: number | string }): { id?: number | string } {
  return id === undefined ? {} : { id };
}
