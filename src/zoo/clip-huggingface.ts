import { z } from "zod";
import { UserError } from "../core/errors.ts";
import type { TwoTowerConfig } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import type { CheckpointFormat } from "./checkpoint.ts";
import { hasWeightsNamed, huggingFaceWeights, openClipWeights } from "./checkpoint-files.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { readCheckpointTensors } from "./checkpoint-tensors.ts";
import { readClipTokenizer } from "./clip-tokenizer-files.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";
import { takeBlocks, takeNorm } from "./huggingface-blocks.ts";
import { readPreprocessor } from "./huggingface-preprocessor.ts";

const count = z.int().positive();
const activation = z.enum(["quick_gelu", "gelu"]);
const epsilon = z.literal(1e-5);

// A saved configuration leaves out what equals the library's defaults, so they stand here.
const visionSchema = z.object({
  hidden_size: count.default(768),
  intermediate_size: count.default(3072),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  num_channels: z.literal(3).default(3),
  image_size: count.default(224),
  patch_size: count.default(32),
  hidden_act: activation.default("quick_gelu"),
  layer_norm_eps: epsilon.default(1e-5),
});
const textSchema = z.object({
  vocab_size: count.default(49_408),
  hidden_size: count.default(512),
  intermediate_size: count.default(2048),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(8),
  max_position_embeddings: count.default(77),
  hidden_act: activation.default("quick_gelu"),
  layer_norm_eps: epsilon.default(1e-5),
});
const configSchema = z.preprocess(
  withOldTowers,
  z.object({
    model_type: z.literal("clip"),
    projection_dim: count.default(512),
    vision_config: visionSchema.prefault({}),
    text_config: textSchema.prefault({}),
  }),
);

/**
 * Old files state the towers as `text_config_dict` and `vision_config_dict`. The library fills those up with its defaults,
 * and every value then counts more than that of `text_config` or `vision_config`.
 */
function withOldTowers(config: unknown): unknown {
  if (!isObject(config)) return config;
  const towers = ["text_config", "vision_config"].flatMap((name) => {
    const old = config[`${name}_dict`];
    return old === undefined || old === null ? [] : [[name, old]];
  });
  return { ...config, ...Object.fromEntries(towers) };
}

type ClipConfig = z.infer<typeof configSchema>;

/** CLIP (and OpenCLIP's ViTs) as the transformers library saves it. Radford et al., arXiv:2103.00020. */
export const clipHuggingFace: CheckpointFormat = {
  family: "CLIP, Hugging Face layout",
  weightNames: huggingFaceWeights,
  async recognizes(folder) {
    return (await folder.field("config.json", "model_type")) === "clip" && !(await isOpenClip(folder));
  },
  checkConfiguration: readConfiguration,
  async read(folder) {
    const { config, preprocessor, architecture, tokenizer } = await readConfiguration(folder);
    const tensors = await readCheckpointTensors(folder, huggingFaceWeights);
    const weights = importWeights(config, tensors);
    tensors.finish(/\.position_ids$/);
    const { preprocessing } = preprocessor;
    return { name: folder.name, architecture, preprocessing, weights, tokenizer, positionResampling: "plain" };
  },
};

async function readConfiguration(folder: CheckpointFolder) {
  const config = await folder.parse("config.json", configSchema);
  const preprocessor = await readPreprocessor(folder);
  const architecture = architectureOf(config, preprocessor, folder);
  const tokenizer = await readClipTokenizer(folder, {
    vocabulary: config.text_config.vocab_size,
    contextLength: config.text_config.max_position_embeddings,
  });
  return { config, preprocessor, architecture, tokenizer };
}

/**
 * Whether a folder with CLIP's `config.json` is open_clip's all the same: its layout is complete, and transformers' is not,
 * as where a `config.json` does nothing but name the code of a wrapper.
 */
async function isOpenClip(folder: CheckpointFolder): Promise<boolean> {
  const hasLayout = (await folder.field("open_clip_config.json", "model_cfg")) !== undefined;
  if (!hasLayout || !hasWeightsNamed(folder.files, openClipWeights)) return false;
  const hasTower = async (name: string): Promise<boolean> =>
    isObject(await folder.field("config.json", name)) || isObject(await folder.field("config.json", `${name}_dict`));
  const isComplete = (await hasTower("text_config")) && (await hasTower("vision_config"));
  return !isComplete || !hasWeightsNamed(folder.files, huggingFaceWeights);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function architectureOf(
  { projection_dim, vision_config: vision, text_config: text }: ClipConfig,
  { preprocessing, mean, std }: Awaited<ReturnType<typeof readPreprocessor>>,
  folder: CheckpointFolder,
): TwoTowerConfig {
  const path = folder.pathOf("config.json");
  const refuse = (rule: string): never => {
    throw new UserError("unsupported", `${path}: ${rule}.`);
  };
  if (text.intermediate_size !== 4 * text.hidden_size) {
    refuse(`text_config.intermediate_size must be 4 × ${text.hidden_size}, got ${text.intermediate_size}`);
  }
  if (preprocessing.size !== vision.image_size) {
    refuse(`vision_config.image_size must be the preprocessor's ${preprocessing.size}, got ${vision.image_size}`);
  }
  return {
    image: {
      kind: "vit",
      imageSize: vision.image_size,
      patch: vision.patch_size,
      width: vision.hidden_size,
      heads: vision.num_attention_heads,
      layers: vision.num_hidden_layers,
      mlpRatio: vision.intermediate_size / vision.hidden_size,
      activation: activationNames[vision.hidden_act],
      mean,
      std,
    },
    text: {
      kind: "clip-transformer",
      vocabulary: text.vocab_size,
      contextLength: text.max_position_embeddings,
      width: text.hidden_size,
      heads: text.num_attention_heads,
      layers: text.num_hidden_layers,
      activation: activationNames[text.hidden_act],
    },
    embedding: projection_dim,
  };
}

const activationNames = { quick_gelu: "quick-gelu", gelu: "gelu" } as const;

function importWeights({ projection_dim, vision_config, text_config }: ClipConfig, tensors: ForeignTensors): Weights {
  const weights: Weights = new Map();
  const { hidden_size: width, image_size, patch_size } = vision_config;
  const positions = 1 + Math.floor(image_size / patch_size) ** 2;
  const vision = "vision_model.embeddings";
  weights.set("imageEncoder.classToken", tensors.take(`${vision}.class_embedding`, [width]));
  weights.set(
    "imageEncoder.patchEmbed.weight",
    tensors.take(`${vision}.patch_embedding.weight`, [width, 3, patch_size, patch_size]),
  );
  weights.set(
    "imageEncoder.positionEmbedding",
    tensors.take(`${vision}.position_embedding.weight`, [positions, width]),
  );
  takeNorm(tensors, "vision_model.pre_layrnorm", "imageEncoder.normPre", width, weights);
  takeNorm(tensors, "vision_model.post_layernorm", "imageEncoder.norm", width, weights);
  takeBlocks(tensors, "vision_model.encoder.layers", "imageEncoder.blocks", vision_config, weights);
  weights.set("imageProjection.weight", tensors.take("visual_projection.weight", [projection_dim, width]));

  const { hidden_size: textWidth, vocab_size, max_position_embeddings } = text_config;
  const text = "text_model.embeddings";
  weights.set("textEncoder.tokenEmbedding", tensors.take(`${text}.token_embedding.weight`, [vocab_size, textWidth]));
  weights.set(
    "textEncoder.positionEmbedding",
    tensors.take(`${text}.position_embedding.weight`, [max_position_embeddings, textWidth]),
  );
  takeNorm(tensors, "text_model.final_layer_norm", "textEncoder.norm", textWidth, weights);
  takeBlocks(tensors, "text_model.encoder.layers", "textEncoder.blocks", text_config, weights);
  weights.set("textProjection.weight", tensors.take("text_projection.weight", [projection_dim, textWidth]));
  weights.set("logitScale", tensors.take("logit_scale", []));
  return weights;
}
