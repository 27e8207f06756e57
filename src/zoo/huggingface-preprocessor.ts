import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { type CheckpointFolder, parseConfig } from "./checkpoint-folder.ts";
import type { ModelConfig } from "./model-config.ts";

/** Pillow's numbers of the filters we have. */
const filters = { 2: "bilinear", 3: "bicubic" } as const;

const rgb = z.tuple([z.number(), z.number(), z.number()]);
const side = z.int().positive();
const rectangle = z.object({ height: side, width: side });

const preprocessorSchema = z.object({
  do_resize: z.literal(true).default(true),
  do_rescale: z.literal(true).default(true),
  do_normalize: z.literal(true).default(true),
  rescale_factor: z.literal(1 / 255).default(1 / 255),
  do_center_crop: z.boolean().nullish(),
  size: z.union([side, z.object({ shortest_edge: side }), rectangle]),
  crop_size: z.union([side, rectangle]).nullish(),
  resample: z.union([z.literal(2), z.literal(3)]),
  image_mean: rgb,
  image_std: rgb,
});

/** What a folder's pictures go through before the encoder. */
export interface Preprocessor {
  readonly preprocessing: ModelConfig["preprocessing"];
  readonly mean: readonly [number, number, number]; // of values in 0 … 1, R G B
  readonly std: readonly [number, number, number];
}

const ownFile = "preprocessor_config.json";
const jointSchema = z.object({ image_processor: z.unknown().optional() });
const jointFile = "processor_config.json"; // of a processor that transformers 5 saves: there alone

/**
 * Reads `preprocessor_config.json` of the transformers library, or where it is missing the `image_processor` of its
 * `processor_config.json`.
 *
 * @throws UserError `not-found` without either, `unsupported` for steps that we do not have
 */
export async function readPreprocessor(folder: CheckpointFolder): Promise<Preprocessor> {
  const hasJoint = folder.files.has(jointFile) && !folder.files.has(ownFile);
  const inJoint = hasJoint ? (await folder.parse(jointFile, jointSchema)).image_processor : undefined;
  const isJoint = inJoint !== undefined && inJoint !== null;
  if (!isJoint && !folder.files.has(ownFile)) {
    const rule = `${folder.path}: must hold ${ownFile}, or ${jointFile} with an image_processor`;
    const got = folder.files.has(jointFile) ? `${jointFile} without one` : "neither";
    throw new UserError("not-found", `${rule}, got ${got}. Fetch the preprocessor too.`);
  }
  const path = folder.pathOf(isJoint ? `${jointFile}: image_processor` : ownFile);
  const config = parseConfig(path, isJoint ? inJoint : await folder.json(ownFile), preprocessorSchema);
  const { resample, image_mean: mean, image_std: std } = config;
  const filter = filters[resample];
  const refuse = (rule: string): never => {
    throw new UserError("unsupported", `${path}: ${rule}.`);
  };
  const crops = config.do_center_crop ?? false;
  const { size } = config;
  if (!crops) {
    if (typeof size === "number" || !("height" in size)) {
      return refuse("size must have a height and a width where nothing is cropped");
    }
    if (size.height !== size.width) return refuse(`size must be square, got ${size.height}×${size.width}`);
    return { preprocessing: { size: size.height, resize: "squash", filter }, mean, std };
  }
  const edge = typeof size === "number" ? size : "shortest_edge" in size ? size.shortest_edge : undefined;
  const crop = typeof config.crop_size === "number" ? squareOf(config.crop_size) : config.crop_size;
  if (edge === undefined) return refuse("size must be a shortest_edge where the middle is cropped");
  if (crop && crop.height === edge && crop.width === edge) {
    return { preprocessing: { size: edge, resize: "shorter-side", filter, cropStart: "floored" }, mean, std };
  }
  return refuse(`crop_size must be ${edge}×${edge} as size, got ${crop ? `${crop.height}×${crop.width}` : "none"}`);
}

function squareOf(side: number): { height: number; width: number } {
  return { height: side, width: side };
}
