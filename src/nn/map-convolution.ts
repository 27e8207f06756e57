import { type Initializer, Parameter, type Tensor } from "../graph/tensor.ts";
import { convolveTokens } from "../graph/token-convolution.ts";
import { truncatedNormal, zeros } from "./module.ts";
import { patchIndices } from "./patches.ts";

export interface MapConvolutionConfig {
  inputs: number; // channels
  outputs: number;
  kernel: number; // odd
  initialize?: Initializer; // of the weight; truncated normal by fan-in by default
}

/** A convolution of a row-major token map that keeps its size. */
export class MapConvolution {
  readonly weight: Parameter; // [out, in, kernel, kernel]
  readonly bias: Parameter;
  readonly #kernel: number;

  constructor({ inputs, outputs, kernel, initialize }: MapConvolutionConfig) {
    const byFanIn = truncatedNormal((inputs * kernel * kernel) ** -0.5);
    this.weight = new Parameter([outputs, inputs, kernel, kernel], initialize ?? byFanIn);
    this.bias = new Parameter([outputs], zeros);
    this.#kernel = kernel;
  }

  /** @param tokens  [B, height·width, in].  @returns  [B, height·width, out] */
  forward(tokens: Tensor, size: { height: number; width: number }): Tensor {
    const kernel = this.#kernel;
    const neighbours = patchIndices({ ...size, kernel, stride: 1, padding: (kernel - 1) / 2 });
    return convolveTokens(tokens, this.weight, this.bias, neighbours);
  }
}
