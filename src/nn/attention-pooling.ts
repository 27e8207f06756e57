import { ShapeError } from "../core/errors.ts";
import { add, expand, reshape } from "../graph/broadcasting.ts";
import { matmul } from "../graph/matrix.ts";
import { split, transpose } from "../graph/shaping.ts";
import { softmax } from "../graph/softmax.ts";
import { Parameter, type Tensor } from "../graph/tensor.ts";
import { LayerNorm } from "./layer-norm.ts";
import { Linear } from "./linear.ts";
import { Mlp, type MlpConfig } from "./mlp.ts";
import { normal } from "./module.ts";

export interface AttentionPoolingConfig extends Omit<MlpConfig, "initialize"> {
  heads: number;
  epsilon: number; // of the layer norm
}

/**
 * One vector of a set of tokens: a learnt query attends to all of them, and an MLP refines what it gathered. The
 * pooling of Set Transformer (Lee et al., arXiv:1810.00825 §3.2) as SigLIP's image tower ends with (arXiv:2303.15343).
 */
export class AttentionPooling {
  readonly probe: Parameter; // [C]
  readonly query: Linear;
  readonly keyValue: Linear; // keys first
  readonly proj: Linear;
  readonly norm: LayerNorm;
  readonly mlp: Mlp;
  readonly #heads: number;

  constructor({ width, heads, epsilon, ...mlp }: AttentionPoolingConfig) {
    if (width % heads) throw new ShapeError(`AttentionPooling: heads must divide the width, got ${heads} and ${width}`);
    this.probe = new Parameter([width], normal(width ** -0.5));
    this.query = new Linear({ inputs: width, outputs: width });
    this.keyValue = new Linear({ inputs: width, outputs: 2 * width });
    this.proj = new Linear({ inputs: width, outputs: width });
    this.norm = new LayerNorm(width, epsilon);
    this.mlp = new Mlp({ width, ...mlp });
    this.#heads = heads;
  }

  /**
   * @param tokens  [B, N, C]
   * @returns       [B, C]
   */
  forward(tokens: Tensor): Tensor {
    const [batch, count, width] = tokens.shape;
    const [heads, headWidth] = [this.#heads, width / this.#heads];
    const joint = reshape(this.keyValue.forward(tokens), [batch, count, 2, heads, headWidth]);
    const [keys, values] = split(transpose(joint, [2, 0, 3, 1, 4]), 0, [1, 1]).map((part) =>
      reshape(part, [batch, heads, count, headWidth]),
    ) as [Tensor, Tensor];
    // The query is the same for every picture, so it is projected once.
    const query = reshape(this.query.forward(reshape(this.probe, [1, width])), [1, heads, 1, headWidth]);
    const queries = expand(query, [batch, heads, 1, headWidth]);
    const scores = matmul(queries, keys, { transposeB: true, scale: headWidth ** -0.5 }); // [B, heads, 1, N]
    const pooled = this.proj.forward(reshape(matmul(softmax(scores), values), [batch, width]));
    return add(pooled, this.mlp.forward(this.norm.forward(pooled)));
  }
}
