import type { ActivationName } from "../../graph/activations.ts";
import { add, expand, reshape } from "../../graph/broadcasting.ts";
import { concat, slice } from "../../graph/shaping.ts";
import { Parameter, type Tensor } from "../../graph/tensor.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { normal } from "../../nn/module.ts";
import { PatchProjection } from "../../nn/patch-projection.ts";
import { TokenMap } from "../../nn/token-map.ts";
import { TransformerBlock } from "../../nn/transformer-block.ts";
import { type ForwardOptions, type ImageFeatures, normalizePixels, pixelAffine } from "./coswin.ts";

export interface VisionTransformerConfig {
  kind: "vit";
  imageSize: number;
  patch: number; // pixels on a side
  width: number;
  heads: number;
  layers: number;
  mlpRatio: number;
  activation: ActivationName;
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

/** CLIP's vision transformer: a class token, a norm before the blocks and one on the class token after. arXiv:2103.00020. */
export class VisionTransformer {
  readonly patchEmbed: PatchProjection;
  readonly classToken: Parameter; // [width]
  readonly positionEmbedding: Parameter; // [1 + patches, width]
  readonly normPre: LayerNorm;
  readonly blocks: readonly TransformerBlock[];
  readonly norm: LayerNorm;
  readonly #config: VisionTransformerConfig;

  constructor(config: VisionTransformerConfig) {
    const { imageSize, patch, width, heads, layers, activation, mlpRatio } = config;
    const side = Math.floor(imageSize / patch);
    this.patchEmbed = new PatchProjection({
      inputs: 3,
      outputs: width,
      kernel: patch,
      stride: patch,
      padding: 0,
      bias: false,
    });
    this.classToken = new Parameter([width], normal(width ** -0.5));
    this.positionEmbedding = new Parameter([1 + side * side, width], normal(width ** -0.5));
    this.normPre = new LayerNorm(width);
    this.blocks = Array.from(
      { length: layers },
      () => new TransformerBlock({ width, heads, hidden: mlpRatio * width, activation }),
    );
    this.norm = new LayerNorm(width);
    this.#config = config;
  }

  get features(): number {
    return this.#config.width;
  }

  /** CLIP trains without stochastic depth. */
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
    const batch = map.tokens.shape[0];
    const channels = this.#config.width;
    const classToken = expand(reshape(this.classToken, [1, 1, channels]), [batch, 1, channels]);
    let x = this.normPre.forward(add(concat([classToken, map.tokens], 1), this.positionEmbedding));
    for (const block of this.blocks.slice(0, -1)) x = block.forward(x);
    // Who wants the pooled feature alone does not pay for the last block's other tokens, and the other way round.
    const last = this.blocks.at(-1) as TransformerBlock;
    const level = map.with(slice(last.forward(x), 1, 1, x.shape[1]));
    const pooled = last.forwardSome(x, (tokens) => slice(tokens, 1, 0, 1)); // [B, 1, width]
    return { levels: [level], pooled: this.norm.forward(reshape(pooled, [batch, channels])) };
  }
}
