import type { ActivationName } from "../../graph/activations.ts";
import { add, reshape } from "../../graph/broadcasting.ts";
import { Parameter, type Tensor } from "../../graph/tensor.ts";
import { AttentionPooling } from "../../nn/attention-pooling.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { normal } from "../../nn/module.ts";
import { PatchProjection } from "../../nn/patch-projection.ts";
import { TokenMap } from "../../nn/token-map.ts";
import { TransformerBlock } from "../../nn/transformer-block.ts";
import { type ForwardOptions, type ImageFeatures, normalizePixels, pixelAffine } from "./coswin.ts";

export interface SiglipVisionConfig {
  kind: "siglip-vit";
  imageSize: number;
  patch: number; // pixels on a side
  width: number;
  heads: number;
  layers: number;
  hidden: number; // width of the MLPs, the pooling's included
  activation: ActivationName;
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

/** Every layer norm of SigLIP adds this to the variance. */
export const siglipEpsilon = 1e-6;

/**
 * SigLIP's vision transformer: no class token, biased patches, no norm before the blocks; the tokens are normalised
 * after them and pooled by attention. Zhai et al., arXiv:2303.15343; the same in SigLIP 2, arXiv:2502.14786.
 */
export class SiglipVisionTransformer {
  readonly patchEmbed: PatchProjection;
  readonly positionEmbedding: Parameter; // [patches, width]
  readonly blocks: readonly TransformerBlock[];
  readonly norm: LayerNorm;
  readonly pooling: AttentionPooling;
  readonly #config: SiglipVisionConfig;

  constructor(config: SiglipVisionConfig) {
    const { imageSize, patch, width, heads, layers, hidden, activation } = config;
    const side = Math.floor(imageSize / patch);
    this.patchEmbed = new PatchProjection({ inputs: 3, outputs: width, kernel: patch, stride: patch, padding: 0 });
    this.positionEmbedding = new Parameter([side * side, width], normal(width ** -0.5));
    const block = { width, heads, hidden, activation, epsilon: siglipEpsilon };
    this.blocks = Array.from({ length: layers }, () => new TransformerBlock(block));
    this.norm = new LayerNorm(width, siglipEpsilon);
    this.pooling = new AttentionPooling(block);
    this.#config = config;
  }

  get features(): number {
    return this.#config.width;
  }

  /** SigLIP trains without stochastic depth. */
  get dropRates(): number[] {
    return [];
  }

  /** @param pixels  [B, H, W, 3] uint8 RGB */
  forward(pixels: Tensor, { fixedWeights }: ForwardOptions = {}): ImageFeatures {
    const { mean, std } = this.#config;
    if (fixedWeights) return this.#encode(this.patchEmbed.forwardBytes(pixels, pixelAffine(mean, std)));
    return this.forwardNormalized(normalizePixels(pixels, mean, std));
  }

  /** @param image  [B, H, W, 3] float32, normalised */
  forwardNormalized(image: Tensor): ImageFeatures {
    const [batch, height, width] = image.shape;
    return this.#encode(
      this.patchEmbed.forward(new TokenMap(reshape(image, [batch, height * width, 3]), height, width)),
    );
  }

  #encode(map: TokenMap): ImageFeatures {
    let x = add(map.tokens, this.positionEmbedding);
    for (const block of this.blocks) x = block.forward(x);
    const tokens = this.norm.forward(x);
    return { levels: [map.with(tokens)], pooled: this.pooling.forward(tokens) };
  }
}
