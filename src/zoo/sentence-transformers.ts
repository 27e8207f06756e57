import { z } from "zod";
import { readSafetensors } from "../io/safetensors.ts";
import type { SentenceEncoderConfig } from "../models/text-encoder/sentence-encoder.ts";
import type { Weights } from "../nn/module.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { ForeignTensors } from "./foreign-tensors.ts";

const bertConfigSchema = z.object({
  model_type: z.literal("bert"),
  hidden_act: z.literal("gelu"),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  layer_norm_eps: z.literal(1e-12),
  max_position_embeddings: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  vocab_size: z.int().positive(),
});

export interface ImportOptions {
  contextLength?: number; // positions to keep; all by default
  /** Rows of the token table to keep, in the new order; all by default. */
  keptTokens?: readonly number[];
}

/** Reads a sentence-transformers BERT checkpoint (`config.json`, `model.safetensors`) into our encoder's form. */
export async function importSentenceEncoder(
  folder: string,
  options: ImportOptions = {},
): Promise<{ config: SentenceEncoderConfig; weights: Weights }> {
  const opened = await CheckpointFolder.open(folder);
  const bert = await opened.parse("config.json", bertConfigSchema);
  const path = opened.pathOf("model.safetensors");
  const tensors = new ForeignTensors((await readSafetensors(path)).tensors, path);
  const { hidden_size: width, intermediate_size: hidden } = bert;
  const contextLength = Math.min(options.contextLength ?? bert.max_position_embeddings, bert.max_position_embeddings);
  const kept = options.keptTokens ?? Array.from({ length: bert.vocab_size }, (_, i) => i);

  const weights: Weights = new Map();
  const words = tensors.take("embeddings.word_embeddings.weight", [bert.vocab_size, width]);
  const table = new Float32Array(kept.length * width);
  for (const [row, id] of kept.entries()) table.set(words.subarray(id * width, (id + 1) * width), row * width);
  weights.set("tokenEmbedding", table);

  const positions = tensors.take("embeddings.position_embeddings.weight", [bert.max_position_embeddings, width]);
  const segments = tensors.take("embeddings.token_type_embeddings.weight", [2, width]);
  weights.set(
    "positionEmbedding",
    positions.slice(0, contextLength * width).map((value, i) => value + segments[i % width]),
  );
  weights.set("norm.weight", tensors.take("embeddings.LayerNorm.weight", [width]));
  weights.set("norm.bias", tensors.take("embeddings.LayerNorm.bias", [width]));

  for (let i = 0; i < bert.num_hidden_layers; i++) {
    const from = `encoder.layer.${i}`;
    const to = `blocks.${i}`;
    for (const [part, shape] of [["weight", [width, width]] as const, ["bias", [width]] as const]) {
      const joint = ["query", "key", "value"].map((name) => `${from}.attention.self.${name}.${part}`);
      weights.set(`${to}.attn.qkv.${part}`, tensors.takeJoined(joint, shape));
      weights.set(`${to}.attn.proj.${part}`, tensors.take(`${from}.attention.output.dense.${part}`, shape));
      weights.set(`${to}.norm1.${part}`, tensors.take(`${from}.attention.output.LayerNorm.${part}`, [width]));
      weights.set(`${to}.norm2.${part}`, tensors.take(`${from}.output.LayerNorm.${part}`, [width]));
    }
    weights.set(`${to}.fc1.weight`, tensors.take(`${from}.intermediate.dense.weight`, [hidden, width]));
    weights.set(`${to}.fc1.bias`, tensors.take(`${from}.intermediate.dense.bias`, [hidden]));
    weights.set(`${to}.fc2.weight`, tensors.take(`${from}.output.dense.weight`, [width, hidden]));
    weights.set(`${to}.fc2.bias`, tensors.take(`${from}.output.dense.bias`, [width]));
  }
  const config: SentenceEncoderConfig = {
    kind: "sentence-encoder",
    vocabulary: kept.length,
    contextLength,
    width,
    heads: bert.num_attention_heads,
    layers: bert.num_hidden_layers,
    hidden,
  };
  return { config, weights };
}
