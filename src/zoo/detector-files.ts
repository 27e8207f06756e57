import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { Detector } from "../models/detection/detector.ts";
import { detectorConfigSchema } from "../models/detection/detector-schema.ts";
import { namedParameters, type Weights } from "../nn/module.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { ForeignTensors } from "./foreign-tensors.ts";

const modelReference = z.looseObject({ name: z.string(), fingerprint: z.string() });

const detectorFileSchema = z.looseObject({
  format: z.literal("florence-detector/1"),
  name: z.string().min(1),
  architecture: detectorConfigSchema,
  side: z.int().positive(), // of the square that pictures are fitted into, pixels
  classes: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("names"), names: z.array(z.string()).min(1) }),
    z.strictObject({ kind: z.literal("texts"), embedder: modelReference }),
  ]),
  backbone: modelReference.optional(), // the two-tower model that the image encoder is from
});

/** `config.json` of a detector's folder. */
export type DetectorFileConfig = z.infer<typeof detectorFileSchema>;

/** A detector as read from its folder. */
export interface DetectorFile {
  readonly config: DetectorFileConfig;
  readonly detector: Detector;
  readonly weights: Weights;
  readonly fingerprint: string; // SHA-256 in hex over weights and configuration
}

const weightsFile = "model.safetensors";

/** Writes a detector's folder so that it appears whole or not at all. Weights are stored in float16. */
export async function saveDetectorFiles(
  folder: string,
  config: Omit<DetectorFileConfig, "format">,
  weights: ReadonlyMap<string, Float32Array>,
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<void> {
  const content = detectorFileSchema.parse({ format: "florence-detector/1", ...config });
  const tensors = new Map<string, WeightTensor>(
    [...namedParameters(new Detector(content.architecture))].map(([name, { shape }]) => [
      name,
      { shape, data: weights.get(name) as Float32Array },
    ]),
  );
  const unfinished = `${folder}.${randomBytes(6).toString("hex")}.partial`;
  await mkdir(unfinished, { recursive: true });
  try {
    const metadata = { format: content.format };
    await writeSafetensors(join(unfinished, weightsFile), tensors, { dtype: "F16", metadata });
    await writeFileAtomic(join(unfinished, "config.json"), `${JSON.stringify(content, null, 2)}\n`);
    for (const [name, data] of Object.entries(files)) await writeFileAtomic(join(unfinished, name), data);
    await replaceFolder(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Reads a detector's folder. Strict: a missing, extra or misshapen tensor is an error that names it.
 *
 * @throws UserError: not-found, unsupported (naming the field), corrupt, mismatch
 */
export async function readDetectorFiles(path: string): Promise<DetectorFile> {
  const folder = await CheckpointFolder.open(path);
  const config = await folder.parse("config.json", detectorFileSchema);
  const { classes } = config.architecture;
  const named = config.classes.kind === "names" ? config.classes.names.length : undefined;
  if ((classes.kind === "fixed" ? classes.count : undefined) !== named) {
    const rule = "classes must name each class of the architecture, or be texts in both";
    throw new UserError("mismatch", `${folder.pathOf("config.json")}: ${rule}, got ${named ?? "texts"}.`);
  }
  const detector = new Detector(config.architecture);
  const file = folder.pathOf(weightsFile);
  const tensors = new ForeignTensors((await readSafetensors(file)).tensors, file);
  const weights: Weights = new Map();
  for (const [name, { shape }] of namedParameters(detector)) weights.set(name, tensors.take(name, shape));
  tensors.finish();
  const hash = createHash("sha256").update(JSON.stringify([config.architecture, config.side, config.classes]));
  const fingerprint = hash.update(await readFile(file)).digest("hex");
  return { config, detector, weights, fingerprint };
}

/** Whether a folder is a detector's; false for folders that are not there. */
export async function isDetectorFolder(path: string): Promise<boolean> {
  const folder = await CheckpointFolder.open(path).catch(() => undefined);
  const format = await folder?.field("config.json", "format");
  return typeof format === "string" && format.startsWith("florence-detector/");
}
