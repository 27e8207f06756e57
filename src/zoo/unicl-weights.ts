import type { CoSwinConfig } from "../models/image-encoder/coswin.ts";
import type { TwoTowerConfig } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import { relativePositionIndex, shiftMask } from "../nn/windows.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";
import { takeNorm } from "./huggingface-blocks.ts";
import { takeResidualBlocks } from "./residual-blocks.ts";

export interface UniclNames {
  image: string;
  imageProjection: string;
  text: string;
}

/** UniCL's code knows its towers by older names too; each tower of a file must have one of them throughout. */
export function uniclNames(tensors: ForeignTensors): UniclNames {
  return {
    image: tensors.has("visual.patch_embed.proj.weight") ? "visual" : "image_encoder",
    imageProjection: tensors.has("vision_projection") ? "vision_projection" : "image_projection",
    text: ["lang_encoder", "text"].find((name) => tensors.has(`${name}.token_embedding.weight`)) ?? "text_encoder",
  };
}

/** Every parameter by our name. @throws UserError `mismatch` naming the tensor and both shapes */
export function importUniclWeights(
  { image, text, embedding }: TwoTowerConfig,
  tensors: ForeignTensors,
  names: UniclNames,
): Weights {
  if (image.kind !== "coswin" || text.kind !== "clip-transformer")
    throw new Error("UniCL is Swin and CLIP's text tower");
  const weights: Weights = new Map();
  takeSwin(tensors, names.image, image, weights);
  const features = image.width * 2 ** (image.depths.length - 1);
  weights.set("imageProjection.weight", tensors.takeTransposed(names.imageProjection, [features, embedding]));

  const { vocabulary, contextLength, width, layers } = text;
  const from = names.text;
  weights.set("textEncoder.tokenEmbedding", tensors.take(`${from}.token_embedding.weight`, [vocabulary, width]));
  weights.set("textEncoder.positionEmbedding", tensors.take(`${from}.positional_embedding`, [contextLength, width]));
  takeResidualBlocks(tensors, `${from}.resblocks`, "textEncoder.blocks", { width, hidden: 4 * width, layers }, weights);
  takeNorm(tensors, `${from}.ln_final`, "textEncoder.norm", width, weights);
  weights.set("textProjection.weight", tensors.takeTransposed("text_projection", [width, embedding]));
  weights.set("logitScale", tensors.take("logit_scale", []));
  return weights;
}

/** Weight and bias of a linear map. */
function takeLinear(
  tensors: ForeignTensors,
  [from, to]: readonly [string, string],
  [outputs, inputs]: readonly [number, number],
  weights: Weights,
): void {
  weights.set(`${to}.weight`, tensors.take(`${from}.weight`, [outputs, inputs]));
  weights.set(`${to}.bias`, tensors.take(`${from}.bias`, [outputs]));
}

/** A Swin as its authors name its parts. */
function takeSwin(tensors: ForeignTensors, root: string, config: CoSwinConfig, weights: Weights): void {
  const { width: first, depths, window } = config;
  const [patches, ourPatches] = [`${root}.patch_embed`, "imageEncoder.patchEmbed"];
  weights.set(`${ourPatches}.proj.weight`, tensors.take(`${patches}.proj.weight`, [first, 3, 4, 4]));
  weights.set(`${ourPatches}.proj.bias`, tensors.take(`${patches}.proj.bias`, [first]));
  takeNorm(tensors, `${patches}.norm`, `${ourPatches}.norm`, first, weights);
  let width = first;
  for (const [stage, depth] of depths.entries()) {
    const side = config.imageSize / 4 / 2 ** stage;
    const [from, to] = [`${root}.layers.${stage}`, `imageEncoder.stages.${stage}`];
    for (let i = 0; i < depth; i++) {
      const block = { side, window: Math.min(side, window), shift: side <= window || i % 2 === 0 ? 0 : window >> 1 };
      takeBlock(tensors, [`${from}.blocks.${i}`, `${to}.blocks.${i}`], { ...config, width, ...block }, weights);
    }
    if (stage === depths.length - 1) break;
    takeNorm(tensors, `${from}.downsample.norm`, `${to}.downsample.norm`, 4 * width, weights);
    const reduction = tensors.take(`${from}.downsample.reduction.weight`, [2 * width, 4 * width]);
    weights.set(`${to}.downsample.reduction.weight`, reduction);
    width *= 2;
  }
  takeNorm(tensors, `${root}.norm`, "imageEncoder.norm", width, weights);
}

interface Block {
  width: number;
  headWidth: number;
  mlpRatio: number;
  side: number; // tokens on a side of the map
  window: number; // tokens on a side
  shift: number; // tokens
}

function takeBlock(
  tensors: ForeignTensors,
  [from, to]: readonly [string, string],
  { width, headWidth, mlpRatio, side, window, shift }: Block,
  weights: Weights,
): void {
  const hidden = width * mlpRatio;
  const area = window ** 2;
  takeNorm(tensors, `${from}.norm1`, `${to}.norm1`, width, weights);
  takeNorm(tensors, `${from}.norm2`, `${to}.norm2`, width, weights);
  takeLinear(tensors, [`${from}.attn.qkv`, `${to}.attn.qkv`], [3 * width, width], weights);
  takeLinear(tensors, [`${from}.attn.proj`, `${to}.attn.proj`], [width, width], weights);
  takeLinear(tensors, [`${from}.mlp.fc1`, `${to}.mlp.fc1`], [hidden, width], weights);
  takeLinear(tensors, [`${from}.mlp.fc2`, `${to}.mlp.fc2`], [width, hidden], weights);
  const offsets = (2 * window - 1) ** 2;
  const table = tensors.take(`${from}.attn.relative_position_bias_table`, [offsets, width / headWidth]);
  weights.set(`${to}.attn.positionBias`, table);
  // Buffers hold no weights, but they show the geometry the weights were trained with, which must be ours.
  const index = `${from}.attn.relative_position_index`;
  if (tensors.has(index)) tensors.requireValues(index, [area, area], relativePositionIndex(window));
  const mask = `${from}.attn_mask`;
  if (shift === 0 || !tensors.has(mask)) return;
  const windows = (side / window) ** 2;
  const grid = { height: side, width: side, window, shift };
  tensors.requireValues(mask, [windows, area, area], shiftMask(grid));
}
