import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { resizePositionEmbedding } from "../models/image-encoder/position-embedding.ts";
import type { TwoTowerConfig } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import type { CheckpointFormat } from "./checkpoint.ts";
import { huggingFaceWeights } from "./checkpoint-files.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { readCheckpointTensors } from "./checkpoint-tensors.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";
import { takeBlocks, takeNorm } from "./huggingface-blocks.ts";
import { type Preprocessor, readPreprocessor } from "./huggingface-preprocessor.ts";
import { readSiglipTokenizer } from "./siglip-tokenizer-files.ts";

const count = z.int().positive();
const activation = z.enum(["gelu_pytorch_tanh", "gelu"]);
const epsilon = z.literal(1e-6);

// A saved configuration leaves out what equals the library's defaults, so they stand here.
const towerSizes = {
  hidden_size: count.default(768),
  intermediate_size: count.default(3072),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  hidden_act: activation.default("gelu_pytorch_tanh"),
  layer_norm_eps: epsilon.default(1e-6),
};
const configSchema = z.object({
  model_type: z.literal("siglip"),
  vision_config: z
    .object({
      ...towerSizes,
      num_channels: z.literal(3).default(3),
      image_size: count.default(224),
      patch_size: count.default(16),
      vision_use_head: z.literal(true).default(true),
    })
    .prefault({}),
  text_config: z
    .object({
      ...towerSizes,
      vocab_size: count.default(32_000),
      max_position_embeddings: count.default(64),
      projection_size: count.nullish(),
    })
    .prefault({}),
});

type SiglipConfig = z.infer<typeof configSchema>;

const file = "config.json";

/**
 * SigLIP, and SigLIP 2 of a fixed resolution, as the transformers library saves them: both say `model_type` siglip. Zhai
 * et al., arXiv:2303.15343; Tschannen et al., arXiv:2502.14786.
 */
export const siglip: CheckpointFormat = {
  family: "SigLIP and SigLIP 2, Hugging Face layout",
  weightNames: huggingFaceWeights,
  async recognizes(folder) {
    return ["siglip", "siglip2"].includes((await folder.field(file, "model_type")) as string);
  },
  checkConfiguration: readConfiguration,
  async read(folder) {
    const { config, preprocessor, architecture, tokenizer } = await readConfiguration(folder);
    const tensors = await readCheckpointTensors(folder, huggingFaceWeights);
    const weights = importWeights(config, preprocessor.preprocessing.size, tensors);
    tensors.finish(/\.position_ids$/);
    const { preprocessing } = preprocessor;
    return { name: folder.name, architecture, preprocessing, weights, tokenizer, positionResampling: "plain" };
  },
};

async function readConfiguration(folder: CheckpointFolder) {
  if ((await folder.field(file, "model_type")) === "siglip2") {
    const rule = "a SigLIP 2 model must be of a fixed resolution (model_type siglip)";
    const remedy = "Take one whose name ends in its resolution, such as patch16-224.";
    throw new UserError("unsupported", `${folder.pathOf(file)}: ${rule}, got NaFlex (siglip2). ${remedy}`);
  }
  const config = await folder.parse(file, configSchema);
  const preprocessor = await readPreprocessor(folder);
  const architecture = architectureOf(config, preprocessor, folder);
  const tokenizer = await readSiglipTokenizer(folder, {
    vocabulary: config.text_config.vocab_size,
    contextLength: config.text_config.max_position_embeddings,
  });
  return { config, preprocessor, architecture, tokenizer };
}

const activationNames = { gelu_pytorch_tanh: "gelu-tanh", gelu: "gelu" } as const;

function architectureOf(
  { vision_config: vision, text_config: text }: SiglipConfig,
  { preprocessing, mean, std }: Preprocessor,
  folder: CheckpointFolder,
): TwoTowerConfig {
  const outputs = text.projection_size ?? text.hidden_size;
  const refuse = (rule: string): never => {
    throw new UserError("unsupported", `${folder.pathOf(file)}: ${rule}.`);
  };
  if (outputs !== vision.hidden_size) {
    refuse(`text_config.projection_size must be vision_config.hidden_size, ${vision.hidden_size}, got ${outputs}`);
  }
  for (const [name, { hidden_size: width, num_attention_heads: heads }] of Object.entries({ vision, text })) {
    if (width % heads !== 0) refuse(`${name}_config.num_attention_heads must divide ${width}, got ${heads}`);
  }
  if (preprocessing.size < vision.patch_size || vision.image_size < vision.patch_size) {
    refuse(`vision_config.patch_size must fit into pictures of ${preprocessing.size}, got ${vision.patch_size}`);
  }
  return {
    image: {
      kind: "siglip-vit",
      imageSize: preprocessing.size, // the checkpoint's own, or another that the preprocessor asks for
      patch: vision.patch_size,
      width: vision.hidden_size,
      heads: vision.num_attention_heads,
      layers: vision.num_hidden_layers,
      hidden: vision.intermediate_size,
      activation: activationNames[vision.hidden_act],
      mean,
      std,
    },
    text: {
      kind: "siglip-transformer",
      vocabulary: text.vocab_size,
      contextLength: text.max_position_embeddings,
      width: text.hidden_size,
      heads: text.num_attention_heads,
      layers: text.num_hidden_layers,
      hidden: text.intermediate_size,
      outputs,
      activation: activationNames[text.hidden_act],
    },
    embedding: vision.hidden_size,
    projection: "none",
    scoring: "sigmoid",
  };
}

function importWeights({ vision_config, text_config }: SiglipConfig, size: number, tensors: ForeignTensors): Weights {
  const weights: Weights = new Map();
  importVision(vision_config, size, tensors, weights);
  const { hidden_size: width, vocab_size, max_position_embeddings, projection_size } = text_config;
  const [text, ours] = ["text_model", "textEncoder"];
  const embeddings = { token: vocab_size, position: max_position_embeddings };
  for (const [name, rows] of Object.entries(embeddings)) {
    const data = tensors.take(`${text}.embeddings.${name}_embedding.weight`, [rows, width]);
    weights.set(`${ours}.${name}Embedding`, data);
  }
  takeBlocks(tensors, `${text}.encoder.layers`, `${ours}.blocks`, text_config, weights);
  takeNorm(tensors, `${text}.final_layer_norm`, `${ours}.norm`, width, weights);
  takeLinear(tensors, `${text}.head`, `${ours}.head`, [projection_size ?? width, width], weights);
  weights.set("logitScale", tensors.take("logit_scale", [1]));
  weights.set("logitBias", tensors.take("logit_bias", [1]));
  return weights;
}

function importVision(
  config: SiglipConfig["vision_config"],
  size: number,
  tensors: ForeignTensors,
  weights: Weights,
): void {
  const { hidden_size: width, intermediate_size: hidden, image_size, patch_size: patch } = config;
  const [theirs, ours] = ["vision_model", "imageEncoder"];
  const embedding = `${theirs}.embeddings.patch_embedding`;
  weights.set(`${ours}.patchEmbed.weight`, tensors.take(`${embedding}.weight`, [width, 3, patch, patch]));
  weights.set(`${ours}.patchEmbed.bias`, tensors.take(`${embedding}.bias`, [width]));
  const [side, newSide] = [Math.floor(image_size / patch), Math.floor(size / patch)];
  const positions = tensors.take(`${theirs}.embeddings.position_embedding.weight`, [side * side, width]);
  const resized = size === image_size ? positions : resizePositionEmbedding(positions, width, newSide);
  weights.set(`${ours}.positionEmbedding`, resized);
  takeBlocks(tensors, `${theirs}.encoder.layers`, `${ours}.blocks`, config, weights);
  takeNorm(tensors, `${theirs}.post_layernorm`, `${ours}.norm`, width, weights);

  const [head, pooling] = [`${theirs}.head`, `${ours}.pooling`];
  weights.set(`${pooling}.probe`, tensors.take(`${head}.probe`, [1, 1, width]));
  for (const [part, last, row] of [["weight", [width], width] as const, ["bias", [], 1] as const]) {
    const joint = tensors.take(`${head}.attention.in_proj_${part}`, [3 * width, ...last]);
    weights.set(`${pooling}.query.${part}`, joint.slice(0, width * row));
    weights.set(`${pooling}.keyValue.${part}`, joint.slice(width * row));
  }
  takeLinear(tensors, `${head}.attention.out_proj`, `${pooling}.proj`, [width, width], weights);
  takeNorm(tensors, `${head}.layernorm`, `${pooling}.norm`, width, weights);
  takeLinear(tensors, `${head}.mlp.fc1`, `${pooling}.mlp.fc1`, [hidden, width], weights);
  takeLinear(tensors, `${head}.mlp.fc2`, `${pooling}.mlp.fc2`, [width, hidden], weights);
}

/** Weight and bias of an affine map, [out, in] and [out]. */
function takeLinear(
  tensors: ForeignTensors,
  from: string,
  to: string,
  shape: readonly [outputs: number, inputs: number],
  weights: Weights,
): void {
  weights.set(`${to}.weight`, tensors.take(`${from}.weight`, shape));
  weights.set(`${to}.bias`, tensors.take(`${from}.bias`, shape.slice(0, 1)));
}
