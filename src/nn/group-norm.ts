import { ShapeError } from "../core/errors.ts";
import { groupNormTokens } from "../graph/normalization.ts";
import { Parameter, type Tensor } from "../graph/tensor.ts";
import { constantValue, zeros } from "./module.ts";

/** Group normalisation of token maps [B, N, C] with a learnt scale and shift. */
export class GroupNorm {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #groups: number;

  constructor({ channels, groups }: { channels: number; groups: number }) {
    if (channels % groups !== 0) {
      throw new ShapeError(`GroupNorm: groups must divide the channels, got ${groups} and ${channels}`);
    }
    this.weight = new Parameter([channels], constantValue(1));
    this.bias = new Parameter([channels], zeros);
    this.#groups = groups;
  }

  forward(x: Tensor): Tensor {
    return groupNormTokens(x, this.#groups, this.weight, this.bias);
  }
}
