import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Rng } from "../../src/core/rng.ts";
import { ShardWriter } from "../../src/data/shards.ts";
import { type WeightTensor, writeSafetensors } from "../../src/io/safetensors.ts";
import type { CoSwinConfig } from "../../src/models/image-encoder/coswin.ts";

const letters = [..."abcdefghijklmnopqrstuvwxyz"];
export const tinyVocabulary = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  ...letters,
  ...letters.map((c) => `##${c}`),
];

const [width, hidden, layers, positions] = [16, 32, 2, 16];
const texts = ["red dot", "green bar", "a blue square on a field", "stripes", "noise", "checks of two kinds"];

/** A BERT checkpoint of random weights, as sentence-transformers lays it out. */
export async function writeTinySentenceEncoder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const rng = new Rng("sentence encoder");
  const tensors = new Map<string, WeightTensor>();
  const put = (name: string, shape: number[], mean = 0): void => {
    const length = shape.reduce((a, b) => a * b, 1);
    tensors.set(name, { shape, data: Float32Array.from({ length }, () => rng.normal(mean, 0.1)) });
  };
  const putNorm = (name: string): void => {
    put(`${name}.weight`, [width], 1);
    put(`${name}.bias`, [width]);
  };
  const putLinear = (name: string, outputs: number, inputs: number): void => {
    put(`${name}.weight`, [outputs, inputs]);
    put(`${name}.bias`, [outputs]);
  };
  put("embeddings.word_embeddings.weight", [tinyVocabulary.length, width]);
  put("embeddings.position_embeddings.weight", [positions, width]);
  put("embeddings.token_type_embeddings.weight", [2, width]);
  putNorm("embeddings.LayerNorm");
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`;
    for (const part of ["query", "key", "value"]) putLinear(`${layer}.attention.self.${part}`, width, width);
    putLinear(`${layer}.attention.output.dense`, width, width);
    putNorm(`${layer}.attention.output.LayerNorm`);
    putLinear(`${layer}.intermediate.dense`, hidden, width);
    putLinear(`${layer}.output.dense`, width, hidden);
    putNorm(`${layer}.output.LayerNorm`);
  }
  const config = {
    model_type: "bert",
    hidden_act: "gelu",
    hidden_size: width,
    intermediate_size: hidden,
    layer_norm_eps: 1e-12,
    max_position_embeddings: positions,
    num_attention_heads: 2,
    num_hidden_layers: layers,
    vocab_size: tinyVocabulary.length,
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  await writeFile(join(folder, "vocab.txt"), `${tinyVocabulary.join("\n")}\n`);
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { dtype: "F32", metadata: {} });
}

/** A shard of 40 noisy pictures of 16×16, each with one of six texts, which its colour goes with. */
export async function writeTinyShard(folder: string, name: string): Promise<void> {
  const writer = new ShardWriter(folder, {
    name,
    source: "synthetic",
    licence: "none",
    height: 16,
    width: 16,
    recipe: "test",
    createdBy: "test",
  });
  const rng = new Rng(name);
  for (let i = 0; i < 40; i++) {
    const kind = i % texts.length;
    const data = Uint8Array.from({ length: 16 * 16 * 3 }, (_, at) => (kind * 40 + (at % 3) * 20 + rng.int(40)) % 256);
    writer.append({ width: 16, height: 16, data }, { key: `${name}-${i}`, texts: [texts[kind]] });
  }
  await writer.close();
}

/** The image encoder of the tests' small models. */
export const tinyImageEncoder: CoSwinConfig = {
  kind: "coswin",
  imageSize: 16,
  width: 16,
  depths: [1, 1],
  headWidth: 8,
  window: 16,
  mlpRatio: 2,
  activation: "squared-relu",
  embedding: "convolution",
  stemKernel: 7,
  stemStride: 4,
  dropPath: 0,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** A recipe of two stages of different image size, a few seconds long. */
export function tinyRecipe(steps: number) {
  const stage = {
    steps,
    templatedTexts: true,
    schedule: "constant",
    learningRate: 0.001,
    warmupSteps: 2,
    perBatch: { first: 8, second: 4 },
    augment: { crop: { scale: [0.6, 1] }, flip: 0.5, brightness: 0.2 },
  };
  return {
    name: "florence-tiny",
    seed: 5,
    image: { ...tinyImageEncoder, imageSize: 24, dropPath: 0.2 },
    embedding: 8,
    textWeights: "encoder",
    freezeText: true,
    textTokens: 12,
    optimizer: { kind: "muon", matrixRateScale: 20, weightDecay: 0.05, beta2: 0.98, clipNorm: 1, averageDecay: 0.9 },
    maxLogitScale: 100,
    stages: [
      { ...stage, name: "small", imageSize: 16 },
      { ...stage, name: "large", imageSize: 24, templatedTexts: false, schedule: "linear", extraTexts: { first: 3 } },
    ],
  };
}
