import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { readSafetensors, type StoredTensor } from "../io/safetensors.ts";
import type { SentenceEncoderConfig } from "../models/text-encoder/sentence-encoder.ts";
import type { Weights } from "../nn/module.ts";

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
  const configPath = join(folder, "config.json");
  const parsed = bertConfigSchema.safeParse(JSON.parse(await readFile(configPath, "utf8")));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new UserError(
      "unsupported",
      `${configPath}: must describe a BERT encoder, got ${issue?.path.join(".")}: ${issue?.message}`,
    );
  }
  const bert = parsed.data;
  const { tensors } = await readSafetensors(join(folder, "model.safetensors"));
  const { hidden_size: width, intermediate_size: hidden } = bert;
  const contextLength = Math.min(options.contextLength ?? bert.max_position_embeddings, bert.max_position_embeddings);
  const kept = options.keptTokens ?? Array.from({ length: bert.vocab_size }, (_, i) => i);
  const take = (name: string, shape: readonly number[]): Float32Array => expectTensor(tensors, folder, name, shape);

  const weights: Weights = new Map();
  const words = take("embeddings.word_embeddings.weight", [bert.vocab_size, width]);
  const table = new Float32Array(kept.length * width);
  for (const [row, id] of kept.entries()) table.set(words.subarray(id * width, (id + 1) * width), row * width);
  weights.set("tokenEmbedding", table);

  const positions = take("embeddings.position_embeddings.weight", [bert.max_position_embeddings, width]);
  const segments = take("embeddings.token_type_embeddings.weight", [2, width]);
  weights.set(
    "positionEmbedding",
    positions.slice(0, contextLength * width).map((value, i) => value + segments[i % width]),
  );
  weights.set("norm.weight", take("embeddings.LayerNorm.weight", [width]));
  weights.set("norm.bias", take("embeddings.LayerNorm.bias", [width]));

  for (let i = 0; i < bert.num_hidden_layers; i++) {
    const from = `encoder.layer.${i}`;
    const to = `blocks.${i}`;
    for (const [part, shape] of [["weight", [width, width]] as const, ["bias", [width]] as const]) {
      const pieces = ["query", "key", "value"].map((name) => take(`${from}.attention.self.${name}.${part}`, shape));
      weights.set(`${to}.attn.qkv.${part}`, joined(pieces));
      weights.set(`${to}.attn.proj.${part}`, take(`${from}.attention.output.dense.${part}`, shape));
      weights.set(`${to}.norm1.${part}`, take(`${from}.attention.output.LayerNorm.${part}`, [width]));
      weights.set(`${to}.norm2.${part}`, take(`${from}.output.LayerNorm.${part}`, [width]));
    }
    weights.set(`${to}.fc1.weight`, take(`${from}.intermediate.dense.weight`, [hidden, width]));
    weights.set(`${to}.fc1.bias`, take(`${from}.intermediate.dense.bias`, [hidden]));
    weights.set(`${to}.fc2.weight`, take(`${from}.output.dense.weight`, [width, hidden]));
    weights.set(`${to}.fc2.bias`, take(`${from}.output.dense.bias`, [width]));
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

function expectTensor(
  tensors: ReadonlyMap<string, StoredTensor>,
  folder: string,
  name: string,
  shape: readonly number[],
): Float32Array {
  const tensor = tensors.get(name);
  const path = join(folder, "model.safetensors");
  if (!tensor) throw new UserError("mismatch", `${path}: ${name} [${shape.join(", ")}] is missing`);
  if (tensor.shape.join() !== shape.join()) {
    throw new UserError("mismatch", `${path}: ${name} must be [${shape.join(", ")}], got [${tensor.shape.join(", ")}]`);
  }
  return tensor.data;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
