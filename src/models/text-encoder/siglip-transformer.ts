import type { ActivationName } from "../../graph/activations.ts";
import { add, reshape } from "../../graph/broadcasting.ts";
import { embedding } from "../../graph/indexing.ts";
import { matmul } from "../../graph/matrix.ts";
import { slice } from "../../graph/shaping.ts";
import { Parameter, type Tensor } from "../../graph/tensor.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { Linear } from "../../nn/linear.ts";
import { normal } from "../../nn/module.ts";
import { TransformerBlock } from "../../nn/transformer-block.ts";
import { siglipEpsilon } from "../image-encoder/siglip-vit.ts";
import { lastTokenMask, type TextBatch } from "./text-batch.ts";

export interface SiglipTransformerConfig {
  kind: "siglip-transformer";
  vocabulary: number;
  contextLength: number; // tokens of every text: shorter ones are filled up by their tokenizer
  width: number;
  heads: number;
  layers: number;
  hidden: number; // width of the MLPs
  outputs: number; // axes that the head maps to
  activation: ActivationName;
}

/**
 * SigLIP's text transformer: every token attends to all, padding included, as it was trained; the state at the last
 * place is the text's, and an affine head maps it. Zhai et al., arXiv:2303.15343.
 */
export class SiglipTransformer {
  readonly tokenEmbedding: Parameter; // [vocabulary, width]
  readonly positionEmbedding: Parameter; // [context, width]
  readonly blocks: readonly TransformerBlock[];
  readonly norm: LayerNorm;
  readonly head: Linear;
  readonly #config: SiglipTransformerConfig;

  constructor(config: SiglipTransformerConfig) {
    const { vocabulary, contextLength, width, heads, layers, hidden, outputs, activation } = config;
    this.tokenEmbedding = new Parameter([vocabulary, width], normal(width ** -0.5));
    this.positionEmbedding = new Parameter([contextLength, width], normal(width ** -0.5));
    const block = { width, heads, hidden, activation, epsilon: siglipEpsilon };
    this.blocks = Array.from({ length: layers }, () => new TransformerBlock(block));
    this.norm = new LayerNorm(width, siglipEpsilon);
    this.head = new Linear({ inputs: width, outputs });
    this.#config = config;
  }

  get features(): number {
    return this.#config.outputs;
  }

  /**
   * @param batch  texts whose padding is part of them: their tokenizer fills them up, and the mask holds ones
   * @returns      [B, outputs]
   */
  forward({ ids, mask }: TextBatch): Tensor {
    const [texts, tokens] = ids.shape;
    let x = add(embedding(this.tokenEmbedding, ids), slice(this.positionEmbedding, 0, 0, tokens));
    for (const block of this.blocks.slice(0, -1)) x = block.forward(x);
    const last = reshape(lastTokenMask(mask), [texts, 1, tokens]);
    const state = (this.blocks.at(-1) as TransformerBlock).forwardSome(x, (states) => matmul(last, states));
    return this.head.forward(this.norm.forward(reshape(state, [texts, this.#config.width])));
  }
}
