import { ShapeError } from "../core/errors.ts";
import { normalizeL2 } from "../graph/softmax.ts";
import { Parameter, type Tensor } from "../graph/tensor.ts";
import { Linear } from "../nn/linear.ts";
import { constantValue, normal } from "../nn/module.ts";
import type { ForwardOptions } from "./image-encoder/coswin.ts";
import { createImageEncoder, type ImageEncoder, type ImageEncoderConfig } from "./image-encoder/image-encoder.ts";
import type { TextBatch } from "./text-encoder/text-batch.ts";
import { createTextEncoder, type TextEncoder, type TextEncoderConfig } from "./text-encoder/text-encoder.ts";
import type { TextTree } from "./text-encoder/text-tree.ts";

export interface TwoTowerConfig {
  image: ImageEncoderConfig;
  text: TextEncoderConfig;
  embedding: number; // axes of the space both towers map into
  projection?: "linear" | "none" | undefined; // "none": the encoders end in the space themselves; linear if left out
  scoring?: "softmax" | "sigmoid" | undefined; // how scores become probabilities; softmax if left out
}

/** log(1/0.07), CLIP's start of the logit scale. */
export const initialLogitScale = Math.log(1 / 0.07);

/** log 10 and −10, where SigLIP starts: few of a batch's pairs fit, so most must begin as unlikely. */
const initialSigmoidScale = Math.log(10);
const initialLogitBias = -10;

/**
 * An image and a text encoder with a linear map each into one space, where the cosine says how well they fit. CLIP,
 * arXiv:2103.00020; Florence, arXiv:2111.11432 §2.3. SigLIP (arXiv:2303.15343) has neither map, and a bias on its scores.
 */
export class TwoTower {
  readonly imageEncoder: ImageEncoder;
  readonly textEncoder: TextEncoder;
  readonly imageProjection: Linear | undefined;
  readonly textProjection: Linear | undefined;
  readonly logitScale: Parameter; // [], the logarithm of what multiplies the cosine
  readonly logitBias: Parameter | undefined; // [], what a sigmoid adds to the scaled cosine

  constructor(config: TwoTowerConfig) {
    this.imageEncoder = createImageEncoder(config.image);
    this.textEncoder = createTextEncoder(config.text);
    this.imageProjection = projection(this.imageEncoder.features, config);
    this.textProjection = projection(this.textEncoder.features, config);
    const isSigmoid = config.scoring === "sigmoid";
    this.logitScale = new Parameter([], constantValue(isSigmoid ? initialSigmoidScale : initialLogitScale));
    this.logitBias = isSigmoid ? new Parameter([], constantValue(initialLogitBias)) : undefined;
  }

  /** @param pixels  [B, H, W, 3] uint8 RGB.  @returns  [B, D], of length 1 */
  embedImages(pixels: Tensor, options: ForwardOptions = {}): Tensor {
    return this.embedImageFeatures(this.imageFeatures(pixels, options));
  }

  /** @returns  [B, F], what the image encoder pools: before the projection, not normalised */
  imageFeatures(pixels: Tensor, options: ForwardOptions = {}): Tensor {
    return this.imageEncoder.forward(pixels, options).pooled;
  }

  /** @param features  [B, F] */
  embedImageFeatures(features: Tensor): Tensor {
    return normalizeL2(this.imageProjection ? this.imageProjection.forward(features) : features);
  }

  /** @returns  [B, D], of length 1 */
  embedTexts(batch: TextBatch): Tensor {
    return this.embedTextFeatures(this.textEncoder.forward(batch));
  }

  /** Whether {@link embedTextTree} is there for its text encoder: one in which a token's state knows only what is before it. */
  get readsTextTrees(): boolean {
    return "forwardTree" in this.textEncoder;
  }

  /** @returns  [T, D], of length 1 */
  embedTextTree(tree: TextTree): Tensor {
    const encoder = this.textEncoder;
    if (!("forwardTree" in encoder))
      throw new ShapeError("TwoTower.embedTextTree: the text encoder must be causal, it is not");
    return this.embedTextFeatures(encoder.forwardTree(tree));
  }

  /** @param features  [B, F], what the text encoder gives; lets a frozen one run once, ahead of training */
  embedTextFeatures(features: Tensor): Tensor {
    return normalizeL2(this.textProjection ? this.textProjection.forward(features) : features);
  }
}

function projection(inputs: number, { projection: kind, embedding: outputs }: TwoTowerConfig): Linear | undefined {
  if (kind === "none") {
    if (inputs === outputs) return undefined;
    throw new ShapeError(`TwoTower: without projections an encoder must give ${outputs} features, got ${inputs}`);
  }
  return new Linear({ inputs, outputs, bias: false, initialize: normal(inputs ** -0.5) });
}
