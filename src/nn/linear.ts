import { add } from "../graph/broadcasting.ts";
import { linear } from "../graph/matrix.ts";
import { type Initializer, Parameter, type Tensor } from "../graph/tensor.ts";
import type { LowRankAdapter } from "./low-rank.ts";
import { truncatedNormal, zeros } from "./module.ts";

export interface LinearConfig {
  inputs: number;
  outputs: number;
  bias?: boolean; // true by default
  initialize?: Initializer; // of the weight; truncated normal of 0.02 by default
}

/** An affine map of the last axis, [..., in] → [..., out]. */
export class Linear {
  readonly weight: Parameter; // [out, in]
  readonly bias: Parameter | undefined; // [out]
  /** Learnt beside the weight once `addAdapters` has put it here; its parameters then are among the module's. */
  adapter: LowRankAdapter | undefined;

  constructor({ inputs, outputs, bias = true, initialize = truncatedNormal(0.02) }: LinearConfig) {
    this.weight = new Parameter([outputs, inputs], initialize);
    this.bias = bias ? new Parameter([outputs], zeros) : undefined;
  }

  forward(x: Tensor): Tensor {
    const y = linear(x, this.weight, this.bias);
    return this.adapter ? add(y, this.adapter.forward(x)) : y;
  }
}
