import { normalizeL2 } from "../graph/softmax.ts";
import { Parameter, type Tensor } from "../graph/tensor.ts";
import { Linear } from "../nn/linear.ts";
import { constantValue, normal } from "../nn/module.ts";
import type { ForwardOptions } from "./image-encoder/coswin.ts";
import { createImageEncoder, type ImageEncoder, type ImageEncoderConfig } from "./image-encoder/image-encoder.ts";
import type { TextBatch } from "./text-encoder/text-batch.ts";
import { createTextEncoder, type TextEncoder, type TextEncoderConfig } from "./text-encoder/text-encoder.ts";

export interface TwoTowerConfig {
  image: ImageEncoderConfig;
  text: TextEncoderConfig;
  embedding: number; // axes of the space both towers map into
}

/** log(1/0.07), CLIP's start of the logit scale. */
export const initialLogitScale = Math.log(1 / 0.07);

/**
 * An image and a text encoder with a linear map each into one space, where the cosine says how well they fit. CLIP,
 * arXiv:2103.00020; Florence, arXiv:2111.11432 §2.3.
 */
export class TwoTower {
  readonly imageEncoder: ImageEncoder;
  readonly textEncoder: TextEncoder;
  readonly imageProjection: Linear;
  readonly textProjection: Linear;
  readonly logitScale: Parameter; // [], the logarithm of what multiplies the cosine

  constructor(config: TwoTowerConfig) {
    this.imageEncoder = createImageEncoder(config.image);
    this.textEncoder = createTextEncoder(config.text);
    this.imageProjection = projection(this.imageEncoder.features, config.embedding);
    this.textProjection = projection(this.textEncoder.features, config.embedding);
    this.logitScale = new Parameter([], constantValue(initialLogitScale));
  }

  /** @param pixels  [B, H, W, 3] uint8 RGB.  @returns  [B, D], of length 1 */
  embedImages(pixels: Tensor, options: ForwardOptions = {}): Tensor {
    return normalizeL2(this.imageProjection.forward(this.imageEncoder.forward(pixels, options).pooled));
  }

  /** @returns  [B, D], of length 1 */
  embedTexts(batch: TextBatch): Tensor {
    return this.embedTextFeatures(this.textEncoder.forward(batch));
  }

  /** @param features  [B, F], what the text encoder gives; lets a frozen one run once, ahead of training */
  embedTextFeatures(features: Tensor): Tensor {
    return normalizeL2(this.textProjection.forward(features));
  }
}

function projection(inputs: number, outputs: number): Linear {
  return new Linear({ inputs, outputs, bias: false, initialize: normal(inputs ** -0.5) });
}
