import { gelu } from "../../graph/activations.ts";
import { add, mul, reshape, sum } from "../../graph/broadcasting.ts";
import { div, sub } from "../../graph/elementwise.ts";
import { embedding } from "../../graph/indexing.ts";
import { slice } from "../../graph/shaping.ts";
import { Parameter, type Tensor } from "../../graph/tensor.ts";
import { Attention } from "../../nn/attention.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { Linear } from "../../nn/linear.ts";
import { truncatedNormal } from "../../nn/module.ts";
import type { TextBatch } from "./text-batch.ts";

export interface SentenceEncoderConfig {
  kind: "sentence-encoder";
  vocabulary: number;
  contextLength: number;
  width: number;
  heads: number;
  layers: number;
  hidden: number;
}

const epsilon = 1e-12;

/**
 * A BERT encoder whose feature is the mean over tokens, as the sentence-transformers models have it. Devlin et al.,
 * arXiv:1810.04805; Reimers and Gurevych, arXiv:1908.10084. The embedding of BERT's first segment is part of the
 * positions here, since there is never a second segment.
 */
export class SentenceEncoder {
  readonly tokenEmbedding: Parameter;
  readonly positionEmbedding: Parameter;
  readonly norm: LayerNorm;
  readonly blocks: readonly PostNormBlock[];
  readonly #config: SentenceEncoderConfig;

  constructor(config: SentenceEncoderConfig) {
    const { vocabulary, contextLength, width, layers } = config;
    this.tokenEmbedding = new Parameter([vocabulary, width], truncatedNormal(0.02));
    this.positionEmbedding = new Parameter([contextLength, width], truncatedNormal(0.02));
    this.norm = new LayerNorm(width, epsilon);
    this.blocks = Array.from({ length: layers }, () => new PostNormBlock(config));
    this.#config = config;
  }

  get features(): number {
    return this.#config.width;
  }

  /** @returns  [B, width], not normalised */
  forward({ ids, mask }: TextBatch): Tensor {
    const [texts, tokens] = ids.shape;
    let x = add(embedding(this.tokenEmbedding, ids), slice(this.positionEmbedding, 0, 0, tokens));
    x = this.norm.forward(x);
    const bias = mul(sub(reshape(mask, [texts, 1, 1, tokens]), 1), 1e9);
    for (const block of this.blocks) x = block.forward(x, bias);
    const weights = reshape(mask, [texts, tokens, 1]);
    return div(sum(mul(x, weights), 1), sum(weights, 1));
  }
}

/** BERT's block: the norm comes after each residual sum. */
class PostNormBlock {
  readonly attn: Attention;
  readonly norm1: LayerNorm;
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly norm2: LayerNorm;

  constructor({ width, heads, hidden }: SentenceEncoderConfig) {
    this.attn = new Attention({ width, heads });
    this.norm1 = new LayerNorm(width, epsilon);
    this.fc1 = new Linear({ inputs: width, outputs: hidden });
    this.fc2 = new Linear({ inputs: hidden, outputs: width });
    this.norm2 = new LayerNorm(width, epsilon);
  }

  forward(x: Tensor, bias: Tensor): Tensor {
    const attended = this.norm1.forward(add(x, this.attn.forward(x, bias)));
    return this.norm2.forward(add(attended, this.fc2.forward(gelu(this.fc1.forward(attended)))));
  }
}
