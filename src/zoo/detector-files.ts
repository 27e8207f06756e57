import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { Precision } from "../core/precision.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { type OutputFolderOptions, writeFolderAtomic } from "../io/output-folder.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { Detector, type DetectorConfig } from "../models/detection/detector.ts";
import { namedParameters, requireWeights, type Weights } from "../nn/module.ts";
import { CheckpointFolder, parseConfig } from "./checkpoint-folder.ts";
import { type DetectorFile, detectorFileSchema } from "./detector-config.ts";
import { ForeignTensors } from "./foreign-tensors.ts";

/** A detector as its folder holds it. */
export interface StoredDetector extends Omit<DetectorFile, "format" | "architecture"> {
  readonly architecture: DetectorConfig;
  /** Every parameter, the image encoder's among them. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

export interface SavedDetector extends StoredDetector {
  /** How weights are stored; float16 if left out. */
  readonly dtype?: "F16" | "F32";
  /** Other files of the folder, such as the model card, by name. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export interface ReadDetector extends StoredDetector {
  readonly weights: Weights;
}

const configFile = "config.json";
const weightsFile = "model.safetensors";
const format = "florence-detector/1";

/**
 * Writes a detector's folder so that it appears whole or not at all: `model.safetensors`, `config.json`, further files.
 *
 * @throws ShapeError if the weights are not the architecture's; UserError `unsupported` for facts that do not agree
 */
export async function saveDetector(
  folder: string,
  saved: SavedDetector,
  options: OutputFolderOptions = {},
): Promise<void> {
  const { name, architecture, classes, preprocessing, backbone, weights, dtype = "F16", files = {} } = saved;
  const detector = new Detector(architecture);
  requireWeights(detector, weights);
  const stated = { format, name, architecture, classes, preprocessing, ...(backbone && { backbone }) };
  const config = parseConfig(join(folder, configFile), stated, detectorFileSchema);
  requireSide(folder, config);
  const tensors = new Map<string, WeightTensor>(
    [...namedParameters(detector)].map(([key, { shape }]) => [key, { shape, data: weights.get(key) as Float32Array }]),
  );
  await writeFolderAtomic(
    folder,
    async (unfinished) => {
      await writeSafetensors(join(unfinished, weightsFile), tensors, { dtype, metadata: { format } });
      await writeFileAtomic(join(unfinished, configFile), `${JSON.stringify(config, null, 2)}\n`);
      for (const [file, content] of Object.entries(files)) await writeFileAtomic(join(unfinished, file), content);
    },
    options,
  );
}

/**
 * Reads a detector's folder. Strict: a missing, extra or misshapen tensor is an error that names it.
 *
 * @throws UserError: not-found, unsupported (naming the field; a folder of another kind), corrupt, mismatch
 */
export async function readDetector(path: string): Promise<ReadDetector> {
  const folder = await CheckpointFolder.open(path);
  await requireDetector(folder);
  const { format: _, ...config } = await folder.parse(configFile, detectorFileSchema);
  requireSide(path, config);
  const file = folder.pathOf(weightsFile);
  const tensors = new ForeignTensors((await readSafetensors(file)).tensors, file);
  const weights: Weights = new Map();
  for (const [key, { shape }] of namedParameters(new Detector(config.architecture))) {
    weights.set(key, tensors.take(key, shape));
  }
  tensors.finish();
  return { ...config, weights };
}

/** Whether a folder says that it holds a detector; its weights are not opened. */
export async function isDetectorFolder(path: string): Promise<boolean> {
  const folder = await CheckpointFolder.open(path).catch(() => undefined);
  const stated = await folder?.field(configFile, "format");
  return typeof stated === "string" && stated.startsWith("florence-detector/");
}

/** SHA-256 over everything that decides what is found: weights by name, architecture, classes, preprocessing, precision. */
export function detectorFingerprint(
  { weights, architecture, classes, preprocessing }: StoredDetector,
  precision: Precision = "float32",
): string {
  const hash = createHash("sha256");
  for (const [name, data] of [...weights].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  hash.update(JSON.stringify([architecture, classes, preprocessing]));
  if (precision !== "float32") hash.update(`\nprecision ${precision}`);
  return hash.digest("hex");
}

async function requireDetector(folder: CheckpointFolder): Promise<void> {
  const stated = await folder.field(configFile, "format");
  if (stated === undefined || stated === format) return; // without one, reading the configuration says what is missing
  const rule = `${folder.path}: must be a detector's folder (${format})`;
  throw new UserError("unsupported", `${rule}, got ${JSON.stringify(stated)}. Name one made by training a detector.`);
}

/** A canvas is of whole tokens, of the coarsest level where it is cut as short as that allows. */
function requireSide(path: string, { architecture, preprocessing }: Omit<DetectorFile, "format">): void {
  const { side, padding } = preprocessing;
  const stride = architecture.strides.at(padding === "square" ? 0 : -1) as number;
  if (side % stride === 0) return;
  const rule = `${path}: preprocessing.side must be a multiple of ${stride} with padding "${padding}"`;
  throw new UserError("unsupported", `${rule}, got ${side}. Take a multiple.`);
}
