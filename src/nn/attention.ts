import { ShapeError } from "../core/errors.ts";
import { add, reshape } from "../graph/broadcasting.ts";
import { linear, matmul } from "../graph/matrix.ts";
import { slice, split, transpose } from "../graph/shaping.ts";
import { softmax } from "../graph/softmax.ts";
import type { Initializer, Tensor } from "../graph/tensor.ts";
import { Linear } from "./linear.ts";

export interface AttentionConfig {
  width: number;
  heads: number;
  initialize?: readonly [Initializer, Initializer]; // of the joint and of the output projection
}

/** Multi-head self-attention. Vaswani et al., arXiv:1706.03762. */
export class Attention {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly #heads: number;

  constructor({ width, heads, initialize }: AttentionConfig) {
    if (width % heads) throw new ShapeError(`Attention: heads must divide the width, got ${heads} and ${width}`);
    this.qkv = new Linear({ inputs: width, outputs: 3 * width, ...(initialize && { initialize: initialize[0] }) });
    this.proj = new Linear({ inputs: width, outputs: width, ...(initialize && { initialize: initialize[1] }) });
    this.#heads = heads;
  }

  /**
   * @param x     [B, N, C]
   * @param bias  added to the scores, broadcast to [B, heads, N, N]: position bias, causal or padding mask
   * @returns     [B, N, C]
   */
  forward(x: Tensor, bias?: Tensor): Tensor {
    return this.proj.forward(attend(this.qkv.forward(x), this.#heads, (scores) => (bias ? add(scores, bias) : scores)));
  }

  /**
   * What some tokens of each set gather: `forward`'s rows of them, without the work for the others.
   *
   * @param x      [B, N, C]
   * @param query  [B, Q, C], tokens of `x`
   * @param bias   added to the scores, broadcast to [B, heads, Q, N]
   * @returns      [B, Q, C]
   */
  forwardSome(x: Tensor, query: Tensor, bias?: Tensor): Tensor {
    const [batch, tokens, width] = x.shape;
    const heads = this.#heads;
    const headWidth = width / heads;
    const queries = byHead(this.#project(query, 0, width), heads);
    const joint = this.#project(x, width, 3 * width);
    const parts = transpose(reshape(joint, [batch, tokens, 2, heads, headWidth]), [2, 0, 3, 1, 4]);
    const [keys, values] = split(parts, 0, [1, 1]).map((part) => reshape(part, [batch, heads, tokens, headWidth])) as [
      Tensor,
      Tensor,
    ];
    const scores = matmul(queries, keys, { transposeB: true, scale: headWidth ** -0.5 });
    const mixed = matmul(softmax(bias ? add(scores, bias) : scores), values); // [B, heads, Q, headWidth]
    return this.proj.forward(joinHeads(mixed));
  }

  /** Some outputs of the joint projection; an adapter beside it has no part of its own for them. */
  #project(x: Tensor, from: number, to: number): Tensor {
    const { weight, bias, adapter } = this.qkv;
    const y = linear(x, slice(weight, 0, from, to), slice(bias as Tensor, 0, from, to));
    return adapter ? add(y, slice(adapter.forward(x), 2, from, to)) : y;
  }
}

/**
 * Scaled dot-product attention of joint queries, keys and values.
 *
 * @param joint   [B, N, 3·C], queries first
 * @param adjust  from scores [B, heads, N, N] to biased or masked scores of that shape
 * @returns       [B, N, C]
 */
export function attend(joint: Tensor, heads: number, adjust: (scores: Tensor) => Tensor): Tensor {
  const [batch, tokens, tripled] = joint.shape;
  const width = tripled / 3;
  const headWidth = width / heads;
  const parts = transpose(reshape(joint, [batch, tokens, 3, heads, headWidth]), [2, 0, 3, 1, 4]);
  const [queries, keys, values] = split(parts, 0, [1, 1, 1]).map((part) =>
    reshape(part, [batch, heads, tokens, headWidth]),
  ) as [Tensor, Tensor, Tensor];
  const scores = adjust(matmul(queries, keys, { transposeB: true, scale: headWidth ** -0.5 }));
  const mixed = matmul(softmax(scores), values); // [B, heads, N, headWidth]
  return joinHeads(mixed);
}

/** [B, N, C] → [B, heads, N, C / heads] */
function byHead(x: Tensor, heads: number): Tensor {
  const [batch, tokens, width] = x.shape;
  const headWidth = width / heads;
  if (tokens === 1) return reshape(x, [batch, heads, 1, headWidth]); // the same memory, nothing to move
  return transpose(reshape(x, [batch, tokens, heads, headWidth]), [0, 2, 1, 3]);
}

/** [B, heads, N, C / heads] → [B, N, C] */
function joinHeads(x: Tensor): Tensor {
  const [batch, heads, tokens, headWidth] = x.shape;
  const shape = [batch, tokens, heads * headWidth];
  return reshape(tokens === 1 ? x : transpose(x, [0, 2, 1, 3]), shape);
}
