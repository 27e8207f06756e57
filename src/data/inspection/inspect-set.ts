import { extname } from "node:path";
import type { SetNote } from "../labelled/entry.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import type { OpenedLabelledSet } from "../labelled/open-labelled-set.ts";
import type { DatasetFormat } from "../readers/open-dataset.ts";
import { allImages, exactDuplicates, exactFindings } from "./duplicates.ts";
import { bySeverity, type Finding, findingOf } from "./finding.ts";
import { nearFindings } from "./near-duplicates.ts";
import { type ScanOptions, scanImages } from "./scan-images.ts";
import {
  type CaptionStatistics,
  type ClassCount,
  captionStatistics,
  classCounts,
  type SizeStatistics,
  sizeStatistics,
} from "./set-statistics.ts";

export interface InspectOptions extends ScanOptions {
  /** Leaves out everything that needs decoded pictures: sizes, damaged files, near-duplicates. */
  readonly isQuick?: boolean;
}

/** What a set is and what is wrong with it. */
export interface SetInspection {
  readonly name: string;
  readonly path: string;
  readonly format: DatasetFormat;
  readonly fingerprint: string;
  readonly isMultiLabel: boolean;
  readonly splits: Readonly<Partial<Record<SplitName, number>>>;
  readonly classes: readonly ClassCount[];
  readonly bytes: number; // of all images
  /** Images by their format as their bytes tell; "other" for SVG, plain pixels and what is no image. */
  readonly fileFormats: Readonly<Record<string, number>>;
  readonly captions?: CaptionStatistics;
  readonly sizes?: SizeStatistics; // absent after a quick look
  readonly findings: readonly Finding[]; // errors first
}

/** A largest class of this many times the smallest is worth a note. */
const imbalance = 20;

const extensionsOf: Readonly<Record<string, readonly string[]>> = {
  jpeg: ["jpg", "jpeg", "jpe", "jfif"],
  png: ["png"],
  gif: ["gif"],
  webp: ["webp"],
  tiff: ["tif", "tiff"],
  avif: ["avif"],
};

/** Looks a set over: its counts, and everything that makes training or scores on it doubtful. */
export async function inspectSet(set: OpenedLabelledSet, options: InspectOptions = {}): Promise<SetInspection> {
  const images = allImages(set);
  const classes = classCounts(set);
  const exact = await exactDuplicates(set, options.signal);
  const scan = options.isQuick ? undefined : await scanImages(set, options);
  const captions = captionStatistics(set);
  const sizes = scan && sizeStatistics(scan.scanned);
  const findings = [
    ...leftOutFindings(set),
    ...unreadableFindings(scan?.unreadable ?? []),
    ...exactFindings(set, exact),
    ...(scan ? nearFindings(set, scan.scanned, exact) : []),
    ...extensionFindings(set),
    ...classFindings(classes, set.isMultiLabel),
    ...set.notes.flatMap(noteFinding),
  ];
  const fileFormats: Record<string, number> = {};
  let bytes = 0;
  for (const { image } of images) {
    const { size, format = "other" } = set.identityOf(image);
    bytes += size;
    fileFormats[format] = (fileFormats[format] ?? 0) + 1;
  }
  return {
    name: set.name,
    path: set.path,
    format: set.format,
    fingerprint: set.fingerprint,
    isMultiLabel: set.isMultiLabel,
    splits: Object.fromEntries([...set.splits].map(([split, list]) => [split, list.length])),
    classes,
    bytes,
    fileFormats,
    ...(captions && { captions }),
    ...(sizes && { sizes }),
    findings: bySeverity(findings),
  };
}

/** Rows and files left out, by the code of what is wrong with them. */
function leftOutFindings({ problems }: OpenedLabelledSet): Finding[] {
  const codes = [...new Set(problems.map(({ error }) => error.code))];
  return codes.flatMap((code) => {
    const items = problems
      .filter(({ error }) => error.code === code)
      .map(({ path, error }) => itemOf(path, error.message));
    const what = code === "not-found" ? "name a file that is not there" : `could not be used (${code})`;
    return findingOf("left-out", "error", items, `Rows or files ${what}; they are left out.`);
  });
}

function itemOf(path: string, message: string): string {
  return message.includes(path) ? message : `${path}: ${message}`;
}

function unreadableFindings(unreadable: readonly { path: string; error: { message: string } }[]): Finding[] {
  const items = unreadable.map(({ path, error }) => itemOf(path, error.message));
  return findingOf("unreadable-image", "error", items, "Pictures do not decode. Replace them or take them out.");
}

function extensionFindings(set: OpenedLabelledSet): Finding[] {
  const items = allImages(set).flatMap(({ image }) => {
    const { format } = set.identityOf(image);
    const extension = extname(image.key).slice(1).toLowerCase();
    const known = Object.values(extensionsOf).flat().includes(extension);
    if (format === undefined || !known || extensionsOf[format].includes(extension)) return [];
    return [`${image.key}: is ${format.toUpperCase()}`];
  });
  return findingOf(
    "wrong-extension",
    "warning",
    items,
    "Files have the ending of another format. They are read all the same; other programs may not.",
  );
}

function classFindings(classes: readonly ClassCount[], isMultiLabel: boolean): Finding[] {
  const single = classes.filter(({ total }) => total === 1).map(({ name }) => name);
  const present = classes.filter(({ total }) => total > 0);
  const largest = present.reduce((a, b) => (b.total > a.total ? b : a), present[0]);
  const smallest = present.reduce((a, b) => (b.total < a.total ? b : a), present[0]);
  const isUneven = present.length > 1 && largest.total >= imbalance * smallest.total;
  const times = isUneven ? Math.round(largest.total / smallest.total) : 0;
  const pair = isUneven ? [`${largest.name}: ${largest.total}, ${smallest.name}: ${smallest.total}`] : [];
  return [
    ...findingOf(
      "one-image-class",
      "warning",
      single,
      "Classes have one picture: it can be learnt from or tested on, not both.",
    ),
    ...findingOf(
      "imbalance",
      "note",
      pair,
      `The largest class has ${times} times the smallest${isMultiLabel ? "" : "; look at the mean over classes too"}.`,
    ),
  ];
}

const noteSeverities: Readonly<Record<SetNote["kind"], Finding["severity"]>> = {
  "class-merged": "warning",
  "class-renamed": "warning",
  "class-absent": "warning",
  "class-empty": "warning",
  encoding: "warning",
  ignored: "warning",
  descended: "note",
  "split-by-name": "note",
};

function noteFinding({ kind, message }: SetNote): Finding[] {
  return findingOf(kind, noteSeverities[kind], [message], message);
}
