import { add, reshape } from "../graph/broadcasting.ts";
import { gather } from "../graph/indexing.ts";
import { transpose } from "../graph/shaping.ts";
import { constant, Parameter, type Tensor } from "../graph/tensor.ts";
import { attend } from "./attention.ts";
import { Linear } from "./linear.ts";
import { truncatedNormal } from "./module.ts";
import { relativePositionIndex } from "./windows.ts";

export interface WindowAttentionConfig {
  width: number;
  heads: number;
  window: number; // tokens on a side
}

/** Multi-head self-attention within windows, with a relative position bias. Liu et al. (Swin), arXiv:2103.14030 §3.2. */
export class WindowAttention {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly positionBias: Parameter; // [(2w−1)², heads], one row a relative offset
  readonly #heads: number;
  readonly #window: number;

  constructor({ width, heads, window }: WindowAttentionConfig) {
    this.qkv = new Linear({ inputs: width, outputs: 3 * width });
    this.proj = new Linear({ inputs: width, outputs: width });
    this.positionBias = new Parameter([(2 * window - 1) ** 2, heads], truncatedNormal(0.02));
    this.#heads = heads;
    this.#window = window;
  }

  /**
   * @param x     [B·windows, w², C], the windows of one image in a row
   * @param mask  [windows, w², w²], 0 where a pair may attend and −100 where not; absent if all may
   * @returns     [B·windows, w², C]
   */
  forward(x: Tensor, mask?: Tensor): Tensor {
    const [rows, tokens] = x.shape;
    const index = constant(relativePositionIndex(this.#window), [tokens * tokens]);
    const table = reshape(gather(this.positionBias, index), [tokens, tokens, this.#heads]);
    const bias = transpose(table, [2, 0, 1]); // [heads, w², w²]
    const adjust = (scores: Tensor): Tensor => {
      if (!mask) return add(scores, bias);
      const windows = mask.shape[0];
      const both = add(reshape(mask, [windows, 1, tokens, tokens]), bias);
      const perImage = reshape(scores, [rows / windows, windows, this.#heads, tokens, tokens]);
      return reshape(add(perImage, both), scores.shape);
    };
    return this.proj.forward(attend(this.qkv.forward(x), this.#heads, adjust));
  }
}
