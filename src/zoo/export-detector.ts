import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Precision } from "../core/precision.ts";
import { PADDING_GREY } from "../data/box-transforms/boxed-picture.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { writeFolderAtomic } from "../io/output-folder.ts";
import { Detector } from "../models/detection/detector.ts";
import { detectorGraph } from "../models/detection/detector-graph.ts";
import type { ExportedDetector } from "../models/exported-detector.ts";
import { exportedModelFile } from "../models/exported-model.ts";
import { namedParameters } from "../nn/module.ts";
import { cardFacts } from "./bundled-models.ts";
import {
  detectorFingerprint,
  type ReadDetector,
  readDetector,
  type SavedDetector,
  saveDetector,
} from "./detector-files.ts";
import type { DetectorModel } from "./detector-model.ts";
import { detectorReadme } from "./export-detector-readme.ts";
import { verifyDetectorExport } from "./export-detector-verification.ts";
import { requireOneFile } from "./export-onnx.ts";
import { beginPhase, type ExportTarget, requireTarget } from "./export-target.ts";

export interface DetectorExportRequest extends ExportTarget {
  /** The detector's folder. */
  readonly source: string;
  /** The same detector loaded, in the precision of the export: the export must find what it finds. */
  readonly detector: DetectorModel;
}

export interface DetectorExportResult {
  readonly files: string[];
  /** Of the detector that the folder holds; an ONNX file has that of the one it was made from. */
  readonly fingerprint: string;
  /** The lowest IoU of a box with the detector's own, ONNX only. */
  readonly lowestIou?: number;
}

/**
 * Writes a detector as an ONNX file for any ONNX Runtime: any batch, any labels where the classes are texts, pictures of
 * one canvas. The file is run and compared with the detector before the folder takes its place.
 *
 * @throws UserError `bad-argument` if the target exists or may not be replaced, `too-large`, `mismatch` if it finds something else
 */
export async function exportDetectorOnnx(
  request: DetectorExportRequest,
  precision: Precision,
): Promise<DetectorExportResult> {
  const { source, target, signal, detector: loaded } = request;
  const beforeReplacing = () => requireTarget(request, [source]);
  await beforeReplacing();
  await beginPhase(request, "reading the detector");
  const read = await readDetector(source);
  const licence = cardFacts(await readFile(join(source, "README.md"), "utf8").catch(() => "")).license;
  const description = describe(read, loaded.fingerprint, precision, licence);
  const detector = new Detector(read.architecture);
  requireOneFile(description.file, [detector]);
  await beginPhase(request, `building ${description.file}`);
  const graph = detectorGraph(detector, description.canvas);
  await beginPhase(request, `encoding ${description.file}`);
  const { bytes } = encodeOnnx({
    ...graph,
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
  const write = async (folder: string): Promise<number> => {
    await beginPhase(request, "writing the files");
    for (const [name, content] of files) await writeFileAtomic(join(folder, name), content);
    await beginPhase(request, "running the file and comparing with the detector");
    return verifyDetectorExport(folder, description, loaded, { signal });
  };
  const lowestIou = await writeFolderAtomic(target, write, { signal, beforeReplacing });
  return { files: [...files.keys()], fingerprint: loaded.fingerprint, lowestIou };
}

/** Writes a detector's folder anew, weights as asked for, with its card. */
export async function exportDetectorFolder(
  request: DetectorExportRequest,
  dtype: "F16" | "F32",
): Promise<DetectorExportResult> {
  const { source, target, signal } = request;
  const beforeReplacing = () => requireTarget(request, [source]);
  await beforeReplacing();
  await beginPhase(request, "reading the detector");
  const read = await readDetector(source);
  const card = await readFile(join(source, "README.md"), "utf8").catch(() => undefined);
  await beginPhase(request, "writing the folder");
  const saved: SavedDetector = { ...read, dtype, files: card === undefined ? {} : { "README.md": card } };
  await saveDetector(target, saved, { signal, beforeReplacing });
  // In float16 the weights are rounded, so the written ones are read back.
  return { files: (await readdir(target)).sort(), fingerprint: detectorFingerprint(await readDetector(target)) };
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
