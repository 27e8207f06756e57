import { reshape } from "../graph/broadcasting.ts";
import { gatherFixed } from "../graph/indexing.ts";
import { linear } from "../graph/matrix.ts";
import { transpose } from "../graph/shaping.ts";
import { Parameter } from "../graph/tensor.ts";
import { truncatedNormal, zeros } from "./module.ts";
import { patchIndices, patchMapSize } from "./patches.ts";
import { TokenMap } from "./token-map.ts";
import { inverseOrder } from "./windows.ts";

export interface PatchProjectionConfig {
  inputs: number; // channels
  outputs: number;
  kernel: number;
  stride: number;
  padding: number;
  bias?: boolean;
}

/**
 * A strided convolution of a token map, computed as one gather of patches and one matrix product: on a CPU that is
 * faster, in both directions, than a direct convolution with so few or so many channels.
 */
export class PatchProjection {
  readonly weight: Parameter; // [out, in, kernel, kernel]
  readonly bias: Parameter | undefined;
  readonly #config: PatchProjectionConfig;

  constructor(config: PatchProjectionConfig) {
    const { inputs, outputs, kernel } = config;
    this.weight = new Parameter([outputs, inputs, kernel, kernel], truncatedNormal((inputs * kernel * kernel) ** -0.5));
    this.bias = (config.bias ?? true) ? new Parameter([outputs], zeros) : undefined;
    this.#config = config;
  }

  /** Rows and columns of the result. */
  outputSize(size: { height: number; width: number }): { height: number; width: number } {
    return patchMapSize({ ...this.#config, ...size });
  }

  /** `order`: the order in which the result's tokens shall stand; row-major if absent. */
  forward(map: TokenMap, order?: Int32Array): TokenMap {
    const { inputs, outputs, kernel } = this.#config;
    const size = this.outputSize(map);
    const area = kernel * kernel;
    const patches = patchIndices({ ...this.#config, height: map.height, width: map.width });
    const wanted = order ?? Int32Array.from({ length: size.height * size.width }, (_, i) => i);
    const standing = map.order ? inverseOrder(map.order, map.height * map.width) : undefined;
    const indices = new Int32Array(wanted.length * area);
    for (let place = 0; place < wanted.length; place++) {
      for (let k = 0; k < area; k++) {
        const pixel = patches[wanted[place] * area + k];
        indices[place * area + k] = pixel < 0 || !standing ? pixel : standing[pixel];
      }
    }
    const batch = map.tokens.shape[0];
    const columns = reshape(gatherFixed(map.tokens, indices), [batch, wanted.length, area * inputs]);
    const weight = reshape(transpose(this.weight, [0, 2, 3, 1]), [outputs, area * inputs]);
    return new TokenMap(linear(columns, weight, this.bias), size.height, size.width, order);
  }
}
