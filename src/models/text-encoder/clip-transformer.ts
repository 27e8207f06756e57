import type { ActivationName } from "../../graph/activations.ts";
import { add, mul, reshape } from "../../graph/broadcasting.ts";
import { sub } from "../../graph/elementwise.ts";
import { embedding, gather } from "../../graph/indexing.ts";
import { matmul } from "../../graph/matrix.ts";
import { slice } from "../../graph/shaping.ts";
import { constant, Parameter, type Tensor } from "../../graph/tensor.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { normal } from "../../nn/module.ts";
import { TransformerBlock } from "../../nn/transformer-block.ts";
import { lastTokenMask, type TextBatch } from "./text-batch.ts";
import type { TextTree } from "./text-tree.ts";

export interface ClipTransformerConfig {
  kind: "clip-transformer";
  vocabulary: number;
  contextLength: number; // tokens, the two special ones included
  width: number;
  heads: number;
  layers: number;
  activation: ActivationName;
  epsilon?: number | undefined; // of the norms; 1e-5 if left out, as CLIP has it
}

/**
 * CLIP's text transformer: causal pre-norm blocks, the state of the last token as the text's feature. Radford et al.,
 * arXiv:2103.00020 §2.4. Florence's language encoder is 12 layers of it.
 */
export class ClipTransformer {
  readonly tokenEmbedding: Parameter; // [vocabulary, width]
  readonly positionEmbedding: Parameter; // [context, width]
  readonly blocks: readonly TransformerBlock[];
  readonly norm: LayerNorm;
  readonly #config: ClipTransformerConfig;

  constructor(config: ClipTransformerConfig) {
    const { vocabulary, contextLength, width, heads, layers, activation, epsilon = 1e-5 } = config;
    const attentionStd = width ** -0.5;
    const outputStd = attentionStd * (2 * layers) ** -0.5;
    this.tokenEmbedding = new Parameter([vocabulary, width], normal(0.02));
    this.positionEmbedding = new Parameter([contextLength, width], normal(0.01));
    this.blocks = Array.from(
      { length: layers },
      () =>
        new TransformerBlock({
          width,
          heads,
          hidden: 4 * width,
          activation,
          epsilon,
          initialize: {
            attention: [normal(attentionStd), normal(outputStd)],
            mlp: [normal((2 * width) ** -0.5), normal(outputStd)],
          },
        }),
    );
    this.norm = new LayerNorm(width, epsilon);
    this.#config = config;
  }

  get features(): number {
    return this.#config.width;
  }

  /** @returns  [B, width] */
  forward({ ids, mask }: TextBatch): Tensor {
    const [texts, tokens] = ids.shape;
    const { width, contextLength } = this.#config;
    let x = add(embedding(this.tokenEmbedding, ids), slice(this.positionEmbedding, 0, 0, tokens));
    // Cut from the whole, so that the graph's constants do not depend on the length.
    const whole = constant(causalBias(contextLength), [contextLength, contextLength]);
    const causal = slice(slice(whole, 0, 0, tokens), 1, 0, tokens);
    for (const block of this.blocks.slice(0, -1)) x = block.forward(x, causal);
    const last = reshape(lastTokenMask(mask), [texts, 1, tokens]);
    const bias = mul(sub(reshape(mask, [texts, 1, 1, tokens]), 1), 1e9); // the last token sees all but the padding
    const lastBlock = this.blocks.at(-1) as TransformerBlock;
    const state = lastBlock.forwardSome(x, (states) => matmul(last, states), bias);
    return this.norm.forward(reshape(state, [texts, width]));
  }

  /**
   * `forward`'s result for the texts of a tree, at the cost of its tokens alone.
   *
   * @returns  [texts, width]
   */
  forwardTree({ ids, positions, visible, ends }: TextTree): Tensor {
    const { width } = this.#config;
    const [tokens] = ids.shape;
    const [texts] = ends.shape;
    const embedded = add(embedding(this.tokenEmbedding, ids), embedding(this.positionEmbedding, positions));
    const bias = mul(sub(visible, 1), 1e9);
    let x = reshape(embedded, [1, tokens, width]);
    for (const block of this.blocks.slice(0, -1)) x = block.forward(x, reshape(bias, [1, 1, tokens, tokens]));
    const lastBlock = this.blocks.at(-1) as TransformerBlock;
    const lastBias = reshape(gather(bias, ends), [1, 1, texts, tokens]);
    const states = lastBlock.forwardSome(x, (all) => gather(all, ends, 1), lastBias); // [1, texts, width]
    return this.norm.forward(reshape(states, [texts, width]));
  }
}

/** 0 where a token may look (itself and before), a large negative number ahead; [N, N]. */
function causalBias(tokens: number): Float32Array {
  const bias = new Float32Array(tokens * tokens);
  for (let q = 0; q < tokens; q++) bias.fill(-1e9, q * tokens + q + 1, (q + 1) * tokens);
  return bias;
}
