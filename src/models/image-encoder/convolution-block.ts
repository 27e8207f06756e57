import { type ActivationName, activations } from "../../graph/activations.ts";
import { add } from "../../graph/broadcasting.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ResidualJoin } from "../../nn/drop-path.ts";
import { inImageGroups } from "../../nn/image-groups.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { MapConvolution } from "../../nn/map-convolution.ts";
import type { TokenMap } from "../../nn/token-map.ts";

const kernel = 3;

/**
 * Two 3×3 convolutions with a residual, each after a norm and a bend: a pre-activation residual block (He et al.,
 * arXiv:1603.05027) with layer norms, for the fine stages of small models, where attention has little to look at.
 */
export class ConvolutionBlock {
  readonly norm1: LayerNorm;
  readonly conv1: MapConvolution;
  readonly norm2: LayerNorm;
  readonly conv2: MapConvolution;
  readonly #activation: ActivationName;

  constructor({ width, activation }: { width: number; activation: ActivationName }) {
    this.norm1 = new LayerNorm(width);
    this.conv1 = new MapConvolution({ inputs: width, outputs: width, kernel });
    this.norm2 = new LayerNorm(width);
    this.conv2 = new MapConvolution({ inputs: width, outputs: width, kernel });
    this.#activation = activation;
  }

  /** Row-major, whatever the size. */
  order(): undefined {
    return undefined;
  }

  /** `map` row-major; of `joins`, as a block of two branches has them, the second adds the branch. */
  forward(map: TokenMap, joins: readonly ResidualJoin[] = [add, add], wholeBatch = false): TokenMap {
    const bend = activations[this.#activation];
    const branch = (x: Tensor): Tensor => {
      const hidden = this.conv1.forward(bend(this.norm1.forward(x)), map);
      return this.conv2.forward(bend(this.norm2.forward(hidden)), map);
    };
    const width = map.tokens.shape[2] as number;
    const computed = wholeBatch ? branch(map.tokens) : inImageGroups(map.tokens, kernel * kernel * width, branch);
    return map.with(joins[1](map.tokens, computed));
  }
}
