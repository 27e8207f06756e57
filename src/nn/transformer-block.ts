import type { ActivationName } from "../graph/activations.ts";
import { add } from "../graph/broadcasting.ts";
import type { Initializer, Tensor } from "../graph/tensor.ts";
import { Attention } from "./attention.ts";
import { LayerNorm } from "./layer-norm.ts";
import { Mlp } from "./mlp.ts";

export interface TransformerBlockConfig {
  width: number;
  heads: number;
  hidden: number;
  activation: ActivationName;
  epsilon?: number;
  initialize?: { attention: readonly [Initializer, Initializer]; mlp: readonly [Initializer, Initializer] };
}

/** A pre-norm transformer block: x + attention(norm x), then x + MLP(norm x). */
export class TransformerBlock {
  readonly norm1: LayerNorm;
  readonly attn: Attention;
  readonly norm2: LayerNorm;
  readonly mlp: Mlp;

  constructor({ width, heads, hidden, activation, epsilon = 1e-5, initialize }: TransformerBlockConfig) {
    this.norm1 = new LayerNorm(width, epsilon);
    this.attn = new Attention({ width, heads, ...(initialize && { initialize: initialize.attention }) });
    this.norm2 = new LayerNorm(width, epsilon);
    this.mlp = new Mlp({ width, hidden, activation, ...(initialize && { initialize: initialize.mlp }) });
  }

  /** x [B, N, C]; `bias` as `Attention.forward` takes it. */
  forward(x: Tensor, bias?: Tensor): Tensor {
    const attended = add(x, this.attn.forward(this.norm1.forward(x), bias));
    return add(attended, this.mlp.forward(this.norm2.forward(attended)));
  }

  /**
   * `forward`'s result for some tokens of each set: all that a last block is asked for where the pooled feature is a
   * single token's, at a sixth of the work.
   *
   * @param x     [B, N, C]
   * @param pick  takes those tokens of [B, N, C], giving [B, Q, C]
   * @param bias  as `Attention.forwardSome` takes it
   */
  forwardSome(x: Tensor, pick: (tokens: Tensor) => Tensor, bias?: Tensor): Tensor {
    const normed = this.norm1.forward(x);
    const attended = add(pick(x), this.attn.forwardSome(normed, pick(normed), bias));
    return add(attended, this.mlp.forward(this.norm2.forward(attended)));
  }
}
