import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { parseYaml } from "../io/yaml-files.ts";
import type { TwoTowerConfig } from "../models/two-tower.ts";
import { parseConfig } from "./checkpoint-folder.ts";
import type { ModelConfig } from "./model-config.ts";

const count = z.int().positive();

// A configuration names only what differs from the repository's config.py, so its defaults stand here. Of the towers every
// field must be known; DATA, AUG, TRAIN and the like hold much that only training reads.
const swinSchema = z.strictObject({
  PATCH_SIZE: z.literal(4).default(4),
  IN_CHANS: z.literal(3).default(3),
  EMBED_DIM: count.default(96),
  DEPTHS: z.array(count).min(1).default([2, 2, 6, 2]),
  NUM_HEADS: z.array(count).min(1).default([3, 6, 12, 24]),
  WINDOW_SIZE: count.default(7),
  MLP_RATIO: z.number().positive().default(4),
  QKV_BIAS: z.literal(true).default(true),
  QK_SCALE: z.union([z.null(), z.literal("None")]).default(null),
  APE: z.literal(false).default(false),
  PATCH_NORM: z.literal(true).default(true),
});
const trainingOnly = z.unknown().optional();
const configSchema = z.object({
  BASE: z.array(z.literal("")).default([]),
  DATA: z
    .object({
      IMG_SIZE: z.int().min(33).default(224),
      INTERPOLATION: z.enum(["bicubic", "bilinear"]).default("bicubic"),
    })
    .prefault({}),
  TEST: z.object({ CROP: z.boolean().default(true) }).prefault({}),
  MODEL: z.object({
    NAME: z.unknown().optional(), // tells nothing of the architecture
    DIM_PROJECTION: count.default(512),
    IMAGE_ENCODER: z
      .strictObject({
        TYPE: z.literal("swin").default("swin"),
        IMG_SIZE: count.default(224),
        DROP_RATE: trainingOnly,
        DROP_PATH_RATE: trainingOnly,
        SWIN: swinSchema.prefault({}),
        FOCAL: z.unknown().optional(), // of the other image tower; a whole configuration as saved holds both
      })
      .prefault({}),
    TEXT_ENCODER: z
      .strictObject({
        NAME: z.literal("transformer").default("transformer"),
        TOKENIZER: z.literal("clip").default("clip"),
        PRETRAINED_TOKENIZER: z.string().optional(), // where its files are fetched from: here they lie in the folder
        CONTEXT_LENGTH: count.default(77),
        WIDTH: count.default(1024),
        HEADS: count.default(16),
        LAYERS: count.default(12),
        AUTOGRESSIVE: z.literal(true).default(true),
        LOAD_PRETRAINED: trainingOnly,
        PRETRAINED: trainingOnly,
      })
      .prefault({}),
  }),
});

export type UniclConfig = z.infer<typeof configSchema>;

const text = z.string().optional();
const kindSchema = z.object({
  MODEL: z.object({
    IMAGE_ENCODER: z.object({ TYPE: text }).optional(),
    TEXT_ENCODER: z.object({ NAME: text, TOKENIZER: text }).optional(),
  }),
});

/**
 * The configuration of a UniCL model, with the defaults of UniCL's own code.
 *
 * @param path  the YAML file, for errors
 * @throws UserError `unsupported` naming the field: another tower, tokenizer or option; `too-large`
 */
export function parseUniclConfig(path: string, yaml: string): UniclConfig {
  const value = parseYaml(path, yaml);
  const { IMAGE_ENCODER: image, TEXT_ENCODER: language } = parseConfig(path, value, kindSchema).MODEL;
  requireKind(path, "IMAGE_ENCODER.TYPE", image?.TYPE, "swin", "image tower");
  requireKind(path, "TEXT_ENCODER.NAME", language?.NAME, "transformer", "text tower");
  requireKind(path, "TEXT_ENCODER.TOKENIZER", language?.TOKENIZER, "clip", "tokenizer");
  return parseConfig(path, value, configSchema);
}

/** Said by itself: a model of another architecture should not be told of one of its many fields. */
function requireKind(path: string, field: string, got: string | undefined, known: string, what: string): void {
  if (got === undefined || got === known) return;
  const rule = `MODEL.${field} must be "${known}", the one ${what} of UniCL models that can be read`;
  throw new UserError("unsupported", `${path}: ${rule}, got ${JSON.stringify(got)}.`);
}

/** The main facts of a configuration, defaults filled in, under UniCL's own names. */
export function describeUniclConfig({ DATA, MODEL }: UniclConfig): Record<string, unknown> {
  const { TYPE, SWIN } = MODEL.IMAGE_ENCODER;
  const { EMBED_DIM, DEPTHS, NUM_HEADS, WINDOW_SIZE } = SWIN;
  const { NAME, CONTEXT_LENGTH, WIDTH, HEADS, LAYERS } = MODEL.TEXT_ENCODER;
  return {
    ...(typeof MODEL.NAME === "string" && { NAME: MODEL.NAME }),
    IMG_SIZE: DATA.IMG_SIZE,
    DIM_PROJECTION: MODEL.DIM_PROJECTION,
    IMAGE_ENCODER: { TYPE, EMBED_DIM, DEPTHS, NUM_HEADS, WINDOW_SIZE },
    TEXT_ENCODER: { NAME, CONTEXT_LENGTH, WIDTH, HEADS, LAYERS },
  };
}

/** What UniCL's evaluation does with a picture: 256 of 224 for the shorter side, then the centre; or squashed. */
export function uniclPreprocessing({ DATA, TEST }: UniclConfig): ModelConfig["preprocessing"] {
  const { IMG_SIZE: size, INTERPOLATION: filter } = DATA;
  if (!TEST.CROP) return { size, resize: "squash", filter };
  return { size, resize: "shorter-side", resizeTo: Math.trunc((256 / 224) * size), filter };
}

/**
 * The two towers in our terms.
 *
 * @param vocabulary  rows of the token table, which no configuration states
 * @throws UserError `unsupported` for sizes that do not go together
 */
export function uniclArchitecture(path: string, { DATA, MODEL }: UniclConfig, vocabulary: number): TwoTowerConfig {
  const { IMG_SIZE: imageSize, SWIN: swin } = MODEL.IMAGE_ENCODER;
  const { CONTEXT_LENGTH: contextLength, WIDTH: width, HEADS: heads, LAYERS: layers } = MODEL.TEXT_ENCODER;
  const require = (holds: boolean, rule: string, got: unknown): void => {
    if (!holds) throw new UserError("unsupported", `${path}: ${rule}, got ${got}.`);
  };
  require(imageSize ===
    DATA.IMG_SIZE, `MODEL.IMAGE_ENCODER.IMG_SIZE must be DATA.IMG_SIZE ${DATA.IMG_SIZE}`, imageSize);
  require(width % heads === 0, `MODEL.TEXT_ENCODER.HEADS must divide the width of ${width}`, heads);
  const headWidth = swin.EMBED_DIM / swin.NUM_HEADS[0];
  const wanted = swin.DEPTHS.map((_, stage) => (swin.EMBED_DIM * 2 ** stage) / headWidth);
  const sameHeads = Number.isInteger(headWidth) && wanted.join() === swin.NUM_HEADS.join();
  require(sameHeads, `SWIN.NUM_HEADS must be as many as DEPTHS, each head as wide (${wanted.join()})`, swin.NUM_HEADS);
  require(Number.isInteger(swin.EMBED_DIM * swin.MLP_RATIO), "SWIN.MLP_RATIO must give whole widths", swin.MLP_RATIO);
  for (let stage = 0, side = imageSize / 4; stage < swin.DEPTHS.length; stage++, side /= 2) {
    const fits = Number.isInteger(side) && (side <= swin.WINDOW_SIZE || side % swin.WINDOW_SIZE === 0);
    require(fits, `stage ${stage} must be whole windows of ${swin.WINDOW_SIZE} tokens on a side`, side);
  }
  return {
    image: {
      kind: "coswin",
      imageSize,
      width: swin.EMBED_DIM,
      depths: swin.DEPTHS,
      headWidth,
      window: swin.WINDOW_SIZE,
      mlpRatio: swin.MLP_RATIO,
      activation: "gelu",
      embedding: "patch",
      stemKernel: 4,
      stemStride: 4,
      dropPath: 0,
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    },
    text: {
      kind: "clip-transformer",
      vocabulary,
      contextLength,
      width,
      heads,
      layers,
      activation: "quick-gelu",
      epsilon: 1e-12, // BERT's, not CLIP's: of small embeddings it makes a difference of per cents
    },
    embedding: MODEL.DIM_PROJECTION,
  };
}
