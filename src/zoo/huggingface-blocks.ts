import type { Weights } from "../nn/module.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";

/** Weight and bias of a layer norm. */
export function takeNorm(tensors: ForeignTensors, from: string, to: string, width: number, weights: Weights): void {
  for (const part of ["weight", "bias"]) weights.set(`${to}.${part}`, tensors.take(`${from}.${part}`, [width]));
}

interface BlockSizes {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
}

/** Transformer blocks as the transformers library names those of CLIP and SigLIP. */
export function takeBlocks(
  tensors: ForeignTensors,
  fromLayers: string,
  toBlocks: string,
  { hidden_size: width, intermediate_size: hidden, num_hidden_layers: layers }: BlockSizes,
  weights: Weights,
): void {
  for (let i = 0; i < layers; i++) {
    const [from, to] = [`${fromLayers}.${i}`, `${toBlocks}.${i}`];
    takeNorm(tensors, `${from}.layer_norm1`, `${to}.norm1`, width, weights);
    takeNorm(tensors, `${from}.layer_norm2`, `${to}.norm2`, width, weights);
    for (const [part, last] of [["weight", [width]] as const, ["bias", []] as const]) {
      const joint = ["q", "k", "v"].map((name) => `${from}.self_attn.${name}_proj.${part}`);
      weights.set(`${to}.attn.qkv.${part}`, tensors.takeJoined(joint, [width, ...last]));
      weights.set(`${to}.attn.proj.${part}`, tensors.take(`${from}.self_attn.out_proj.${part}`, [width, ...last]));
      weights.set(`${to}.mlp.fc1.${part}`, tensors.take(`${from}.mlp.fc1.${part}`, [hidden, ...last]));
      const inner = part === "weight" ? [width, hidden] : [width];
      weights.set(`${to}.mlp.fc2.${part}`, tensors.take(`${from}.mlp.fc2.${part}`, inner));
    }
  }
}
