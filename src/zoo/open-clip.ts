import { z } from "zod";
import { UserError } from "../core/errors.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { TwoTowerConfig } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import type { Checkpoint, CheckpointFormat } from "./checkpoint.ts";
import { openClipWeights } from "./checkpoint-files.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { readCheckpointTensors } from "./checkpoint-tensors.ts";
import { readClipTokenizer } from "./clip-tokenizer-files.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";
import { takeNorm } from "./huggingface-blocks.ts";
import type { ModelConfig } from "./model-config.ts";
import { takeResidualBlocks } from "./residual-blocks.ts";

const count = z.int().positive();
const rgb = z.tuple([z.number(), z.number(), z.number()]);

// Some files have a text. The library takes any text for true, "FALSE" too: that one is refused, not guessed at.
const trueText = z
  .enum(["true", "True", "TRUE"], { error: 'must be true, false, "true" or "TRUE"' })
  .transform(() => true);
const flag = z.union([z.boolean(), trueText], { error: 'must be true, false, "true" or "TRUE"' });

// Strict: every other field of open_clip asks for something that these towers do not do.
export const openClipSchema = z.strictObject({
  model_cfg: z.strictObject({
    embed_dim: count,
    quick_gelu: flag.default(false),
    vision_cfg: z.strictObject({
      image_size: count.default(224),
      layers: count.default(12),
      width: count.default(768),
      head_width: count.default(64),
      mlp_ratio: z.number().positive().default(4),
      patch_size: count.default(16),
      patch_dropout: z.number().optional(), // of training alone
    }),
    text_cfg: z.strictObject({
      context_length: count.default(77),
      vocab_size: count.default(49_408),
      width: count.default(512),
      heads: count.default(8),
      layers: count.default(12),
    }),
  }),
  preprocess_cfg: z
    .object({
      mean: rgb.default([0.48145466, 0.4578275, 0.40821073]),
      std: rgb.default([0.26862954, 0.26130258, 0.27577711]),
      interpolation: z.enum(["bicubic", "bilinear"]).default("bicubic"),
      resize_mode: z.enum(["shortest", "squash"]).default("shortest"),
    })
    .prefault({}),
});

export type OpenClipConfig = z.infer<typeof openClipSchema>;

const configFile = "open_clip_config.json";

/** CLIP's ViTs in the layout of open_clip, which is OpenAI's own. Cherti et al., arXiv:2212.07143. */
export const openClip: CheckpointFormat = {
  family: "OpenCLIP ViT, open_clip layout",
  weightNames: openClipWeights,
  // A folder may hold both layouts: transformers' own, where it is complete, has claimed it before.
  async recognizes(folder) {
    return folder.files.has(configFile);
  },
  async checkConfiguration(folder) {
    architectureOf((await readConfiguration(folder)).config, folder.pathOf(configFile));
  },
  async read(folder) {
    const { config, tokenizer } = await readConfiguration(folder);
    const tensors = await readCheckpointTensors(folder, openClipWeights);
    return importOpenClip(config, { folder, path: folder.pathOf(configFile), tensors, tokenizer });
  },
};

async function readConfiguration(folder: CheckpointFolder) {
  const config = await folder.parse(configFile, openClipSchema);
  const { vocab_size: vocabulary, context_length: contextLength } = config.model_cfg.text_cfg;
  return { config, tokenizer: await readClipTokenizer(folder, { vocabulary, contextLength, isBundled: true }) };
}

/**
 * The model that a configuration in open_clip's terms describes.
 *
 * @param path  what errors name: where the configuration was read
 */
export function importOpenClip(
  config: OpenClipConfig,
  { folder, path, tensors, tokenizer }: OpenClipParts,
): Checkpoint {
  const architecture = architectureOf(config, path);
  const weights = importWeights(config, tensors);
  tensors.finish(/(^|\.)attn_mask$/);
  const preprocessing = preprocessingOf(config);
  return { name: folder.name, architecture, preprocessing, weights, tokenizer, positionResampling: "antialiased" };
}

interface OpenClipParts {
  readonly folder: CheckpointFolder;
  readonly path: string;
  readonly tensors: ForeignTensors;
  readonly tokenizer: Tokenizer;
}

function preprocessingOf({ model_cfg, preprocess_cfg }: OpenClipConfig): ModelConfig["preprocessing"] {
  return {
    size: model_cfg.vision_cfg.image_size,
    resize: preprocess_cfg.resize_mode === "squash" ? "squash" : "shorter-side",
    filter: preprocess_cfg.interpolation,
  };
}

function architectureOf({ model_cfg, preprocess_cfg }: OpenClipConfig, path: string): TwoTowerConfig {
  const { vision_cfg: vision, text_cfg: text } = model_cfg;
  if (vision.width % vision.head_width !== 0) {
    const rule = `vision_cfg.head_width must divide the width of ${vision.width}, got ${vision.head_width}`;
    throw new UserError("unsupported", `${path}: ${rule}.`);
  }
  const activation = model_cfg.quick_gelu ? "quick-gelu" : "gelu";
  return {
    image: {
      kind: "vit",
      imageSize: vision.image_size,
      patch: vision.patch_size,
      width: vision.width,
      heads: vision.width / vision.head_width,
      layers: vision.layers,
      mlpRatio: hiddenOf(vision) / vision.width,
      activation,
      mean: preprocess_cfg.mean,
      std: preprocess_cfg.std,
    },
    text: {
      kind: "clip-transformer",
      vocabulary: text.vocab_size,
      contextLength: text.context_length,
      width: text.width,
      heads: text.heads,
      layers: text.layers,
      activation,
    },
    embedding: model_cfg.embed_dim,
  };
}

/** Width of the vision MLPs: open_clip cuts it to a whole number (1408 × 4.3637 is 6144). */
function hiddenOf({ width, mlp_ratio }: { width: number; mlp_ratio: number }): number {
  return Math.trunc(width * mlp_ratio);
}

function importWeights({ model_cfg }: OpenClipConfig, tensors: ForeignTensors): Weights {
  const { embed_dim, vision_cfg: vision, text_cfg: text } = model_cfg;
  const weights: Weights = new Map();
  const positions = 1 + Math.floor(vision.image_size / vision.patch_size) ** 2;
  const kernel = [vision.width, 3, vision.patch_size, vision.patch_size];
  weights.set("imageEncoder.classToken", tensors.take("visual.class_embedding", [vision.width]));
  weights.set("imageEncoder.patchEmbed.weight", tensors.take("visual.conv1.weight", kernel));
  weights.set("imageEncoder.positionEmbedding", tensors.take("visual.positional_embedding", [positions, vision.width]));
  takeNorm(tensors, "visual.ln_pre", "imageEncoder.normPre", vision.width, weights);
  takeNorm(tensors, "visual.ln_post", "imageEncoder.norm", vision.width, weights);
  const visionBlocks = { width: vision.width, hidden: hiddenOf(vision), layers: vision.layers };
  takeResidualBlocks(tensors, "visual.transformer.resblocks", "imageEncoder.blocks", visionBlocks, weights);
  weights.set("imageProjection.weight", tensors.takeTransposed("visual.proj", [vision.width, embed_dim]));

  weights.set("textEncoder.tokenEmbedding", tensors.take("token_embedding.weight", [text.vocab_size, text.width]));
  weights.set("textEncoder.positionEmbedding", tensors.take("positional_embedding", [text.context_length, text.width]));
  takeNorm(tensors, "ln_final", "textEncoder.norm", text.width, weights);
  const textBlocks = { width: text.width, hidden: 4 * text.width, layers: text.layers };
  takeResidualBlocks(tensors, "transformer.resblocks", "textEncoder.blocks", textBlocks, weights);
  weights.set("textProjection.weight", tensors.takeTransposed("text_projection", [text.width, embed_dim]));
  weights.set("logitScale", tensors.take("logit_scale", []));
  return weights;
}
