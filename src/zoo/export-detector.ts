import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Precision } from "../core/precision.ts";
import { PADDING_GREY } from "../data/box-transforms/boxed-picture.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
import { Detector } from "../models/detection/detector.ts";
import { detectorGraph } from "../models/detection/detector-graph.ts";
import type { ExportedDetector } from "../models/exported-detector.ts";
import { exportedModelFile } from "../models/exported-model.ts";
import { namedParameters } from "../nn/module.ts";
import { cardFacts } from "./bundled-models.ts";
import { type ReadDetector, readDetector, saveDetector } from "./detector-files.ts";
import type { DetectorModel } from "./detector-model.ts";
import { detectorReadme } from "./export-detector-readme.ts";
import { verifyDetectorExport } from "./export-detector-verification.ts";
import { requireFree } from "./export-model.ts";
import { requireOneFile } from "./export-onnx.ts";

export interface DetectorExportRequest {
  /** The detector's folder. */
  readonly source: string;
  /** The same detector loaded, in the precision of the export: the export must find what it finds. */
  readonly detector: DetectorModel;
  /** The folder to write. */
  readonly target: string;
  /** Replace what stands at `target`. */
  readonly force?: boolean;
}

export interface DetectorExportResult {
  readonly files: string[];
  /** The lowest IoU of a box with the detector's own, ONNX only. */
  readonly lowestIou?: number;
}

/**
 * Writes a detector as an ONNX file for any ONNX Runtime: any batch, any labels where the classes are texts, pictures of
 * one canvas. The file is run and compared with the detector before the folder takes its place.
 *
 * @throws UserError `bad-argument` if the target exists, `too-large`, `mismatch` if it finds something else
 */
export async function exportDetectorOnnx(
  request: DetectorExportRequest,
  precision: Precision,
): Promise<DetectorExportResult> {
  const { source, target, detector: loaded } = request;
  await requireFree(request);
  const read = await readDetector(source);
  const licence = cardFacts(await readFile(join(source, "README.md"), "utf8").catch(() => "")).license;
  const description = describe(read, loaded.fingerprint, precision, licence);
  const detector = new Detector(read.architecture);
  requireOneFile(description.file, [detector]);
  const { bytes } = encodeOnnx({
    ...detectorGraph(detector, description.canvas),
    parameters: namedParameters(detector),
    weights: read.weights,
    metadata: metadataOf(description),
    precision,
  });
  const files = new Map<string, string | Uint8Array>([
    [description.file, bytes],
    [exportedModelFile, `${JSON.stringify(description, null, 2)}\n`],
    ["README.md", detectorReadme(description)],
  ]);
  const unfinished = `${target}.${randomBytes(6).toString("hex")}.partial`;
  await mkdir(unfinished, { recursive: true });
  try {
    for (const [name, content] of files) await writeFileAtomic(join(unfinished, name), content);
    const lowestIou = await verifyDetectorExport(unfinished, description, loaded);
    await replaceFolder(unfinished, target);
    return { files: [...files.keys()], lowestIou };
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Writes a detector's folder anew, weights as asked for, with its card. */
export async function exportDetectorFolder(
  request: DetectorExportRequest,
  dtype: "F16" | "F32",
): Promise<DetectorExportResult> {
  await requireFree(request);
  const read = await readDetector(request.source);
  const card = await readFile(join(request.source, "README.md"), "utf8").catch(() => undefined);
  await saveDetector(request.target, { ...read, dtype, files: card === undefined ? {} : { "README.md": card } });
  return { files: (await readdir(request.target)).sort() };
}

/** The canvas is the square that holds any picture of the detector's side, also where it pads pictures less itself. */
function describe(
  { name, classes, architecture, preprocessing: { side } }: ReadDetector,
  fingerprint: string,
  precision: Precision,
  licence: string | undefined,
): ExportedDetector {
  const embedding = architecture.classes.kind === "text" ? architecture.classes.embedding : 0;
  return {
    format: "florence-detector-export/1",
    ...{ name, fingerprint, precision },
    ...(licence === undefined ? {} : { licence }),
    file: "detector.onnx",
    canvas: { width: side, height: side, filter: "bilinear", grey: PADDING_GREY, align: "centre" },
    classes: classes.kind === "text" ? { ...classes, embedding } : classes,
  };
}

/** What the file must say of itself when it is met without its folder. */
function metadataOf(description: ExportedDetector): Record<string, string> {
  const { name, fingerprint, precision, licence } = description;
  const preprocessing = JSON.stringify(description);
  return { name, fingerprint, precision, preprocessing, ...(licence === undefined ? {} : { licence }) };
}
