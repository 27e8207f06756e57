import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import type { RgbImage } from "../../core/image.ts";
import { fileError } from "../../io/file-errors.ts";
import { decodeImage } from "../../io/images.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import { findCocoFiles, readCoco } from "./coco-layout.ts";
import type { DetectionImage, DetectionProblem, DetectionSet } from "./detection-set.ts";
import type { ProblemSink, RawSet } from "./raw-set.ts";
import { type SettledImage, type SettleOptions, settleImages } from "./settle-images.ts";
import { findVocFiles, readVoc } from "./voc-layout.ts";
import { findYoloConfig, readYolo } from "./yolo-layout.ts";

export interface OpenDetectionSetOptions extends SettleOptions {
  /** Refuse a set with anything left out or mended, instead of reporting it. */
  readonly strict?: boolean;
}

const ACCEPTED =
  "a COCO .json, a YOLO data.yaml, or a folder with _annotations.coco.json a split, annotations/instances_*.json, data.yaml, or Pascal VOC .xml files";

/**
 * Opens pictures with boxes as they were exported: COCO JSON, YOLO or Pascal VOC, in Roboflow's folders or each format's
 * own. Annotations that cannot be used are listed in `problems`, with file and id, and the rest is used.
 *
 * @throws UserError: not-found, unsupported (with the accepted formats), empty (no usable picture); corrupt under
 *         `strict`, naming the first problem and their number
 */
export async function openDetectionSet(path: string, options: OpenDetectionSetOptions = {}): Promise<DetectionSet> {
  const problems: DetectionProblem[] = [];
  const raw = await readRaw(resolve(path), (problem) => problems.push(problem));
  const settled = await settleImages(raw, (problem) => problems.push(problem), options);
  if (options.strict) refuseProblems(path, problems);
  const splits = new Map<SplitName, DetectionImage[]>();
  for (const name of ["train", "val", "test"] as const) {
    const images = settled.filter(({ split }) => split === name).map(({ image }) => image);
    if (images.length > 0) splits.set(name, images);
  }
  if (splits.size === 0) {
    const first = problems.length > 0 ? `: ${problems[0].error.message}` : "";
    throw new UserError("empty", `${path}: must have a picture that can be used, got none${first}`);
  }
  return {
    name: basename(resolve(path)).replace(/\.(json|ya?ml)$/i, ""),
    path,
    format: raw.format,
    classes: raw.classes,
    categories: raw.categories,
    splits,
    problems,
    fingerprint: fingerprintOf(raw.classes, settled),
    about: raw.about,
    decode: decodeChecked,
  };
}

async function readRaw(path: string, report: ProblemSink): Promise<RawSet> {
  const stats = await stat(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  const cocoFiles = await findCocoFiles(path);
  if (cocoFiles.length > 0) return readCoco(cocoFiles, report);
  const yoloConfig = await findYoloConfig(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  if (yoloConfig) return readYolo(yoloConfig, report);
  const vocFiles = stats.isDirectory() ? await findVocFiles(path) : [];
  if (vocFiles.length > 0) return readVoc(path, vocFiles, report);
  throw new UserError("unsupported", `${path}: must be ${ACCEPTED}, got none of these. Check the path.`);
}

/** Throws for the first of the problems that are more than notes. @throws UserError corrupt, with their number */
export function refuseProblems(path: string, problems: readonly DetectionProblem[]): void {
  const grave = problems.filter(({ action }) => action !== "noted");
  if (grave.length === 0) return;
  const rule = `${path}: must be without fault under strict, got ${grave.length} problems`;
  throw new UserError("corrupt", `${rule}, the first: ${grave[0].error.message}`);
}

/** Equal for equal contents, wherever the set lies. */
function fingerprintOf(classes: readonly string[], settled: readonly SettledImage[]): string {
  const hash = createHash("sha256");
  hash.update(`${JSON.stringify(classes)}\n`);
  for (const { image, identity } of settled) {
    const { key, width, height, boxes } = image;
    const rows = boxes.map(({ box, class: own, crowd, difficult, area }) => [...box, own, crowd, difficult, area]);
    hash.update(`${JSON.stringify([key, width, height, identity, rows])}\n`);
  }
  return hash.digest("hex");
}

async function decodeChecked({ path, width, height }: DetectionImage): Promise<RgbImage> {
  const image = await decodeImage(path);
  if (image.width === width && image.height === height) return image;
  const got = `${image.width}×${image.height}`;
  throw new UserError("mismatch", `${path}: must be ${width}×${height} as when the set was opened, got ${got}.`);
}
