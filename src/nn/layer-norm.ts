import { layerNorm } from "../graph/normalization.ts";
import { Parameter, type Tensor } from "../graph/tensor.ts";
import { constantValue, zeros } from "./module.ts";

/** Layer normalisation of the last axis with a learnt scale and shift. */
export class LayerNorm {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #epsilon: number;

  constructor(channels: number, epsilon = 1e-5) {
    this.weight = new Parameter([channels], constantValue(1));
    this.bias = new Parameter([channels], zeros);
    this.#epsilon = epsilon;
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, this.#epsilon);
  }
}
