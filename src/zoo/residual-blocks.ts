import type { Weights } from "../nn/module.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";
import { takeNorm } from "./huggingface-blocks.ts";

/** Transformer blocks as OpenAI's CLIP names them, with the joint projection that PyTorch's attention has. */
export function takeResidualBlocks(
  tensors: ForeignTensors,
  fromLayers: string,
  toBlocks: string,
  { width, hidden, layers }: { width: number; hidden: number; layers: number },
  weights: Weights,
): void {
  for (let i = 0; i < layers; i++) {
    const [from, to] = [`${fromLayers}.${i}`, `${toBlocks}.${i}`];
    takeNorm(tensors, `${from}.ln_1`, `${to}.norm1`, width, weights);
    takeNorm(tensors, `${from}.ln_2`, `${to}.norm2`, width, weights);
    weights.set(`${to}.attn.qkv.weight`, tensors.take(`${from}.attn.in_proj_weight`, [3 * width, width]));
    weights.set(`${to}.attn.qkv.bias`, tensors.take(`${from}.attn.in_proj_bias`, [3 * width]));
    const maps = [
      ["attn.out_proj", "attn.proj", width, width],
      ["mlp.c_fc", "mlp.fc1", hidden, width],
      ["mlp.c_proj", "mlp.fc2", width, hidden],
    ] as const;
    for (const [theirs, ours, outputs, inputs] of maps) {
      weights.set(`${to}.${ours}.weight`, tensors.take(`${from}.${theirs}.weight`, [outputs, inputs]));
      weights.set(`${to}.${ours}.bias`, tensors.take(`${from}.${theirs}.bias`, [outputs]));
    }
  }
}
