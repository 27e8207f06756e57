import { ShapeError } from "../../core/errors.ts";
import { add } from "../../graph/broadcasting.ts";
import { relu } from "../../graph/elementwise.ts";
import { gatherFixed } from "../../graph/indexing.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { Linear } from "../../nn/linear.ts";
import { MapConvolution } from "../../nn/map-convolution.ts";
import { PatchProjection } from "../../nn/patch-projection.ts";
import type { TokenMap } from "../../nn/token-map.ts";

/** A level of features: pixels from one token to the next, and channels. */
export interface FeatureLevel {
  readonly stride: number;
  readonly channels: number;
}

export interface FeaturePyramidConfig {
  readonly inputs: readonly FeatureLevel[]; // an encoder's levels, finest first
  readonly strides: readonly number[]; // of the pyramid's levels, finest first, each twice the last: 8 … 128 for P3–P7
  readonly width: number; // channels of every level
}

/**
 * A feature pyramid: encoder levels brought to one width and summed from the coarsest down, and coarser levels than the
 * encoder has by strided convolutions. Lin et al., arXiv:1612.03144; the further levels as RetinaNet's
 * (arXiv:1708.02002), made of the coarsest level of the pyramid. A norm before each lateral map, as Swin's detectors
 * have one, because the levels come as the encoder's residual sums.
 */
export class FeaturePyramid {
  readonly norms: readonly LayerNorm[]; // by level that the encoder has
  readonly laterals: readonly Linear[];
  readonly outputs: readonly MapConvolution[];
  readonly further: readonly PatchProjection[];
  readonly #sources: readonly number[]; // of the encoder's levels, the one of each stride
  readonly #config: FeaturePyramidConfig;

  constructor(config: FeaturePyramidConfig) {
    const { inputs, strides, width } = config;
    const listed = strides.join(", ");
    if (strides.length === 0 || strides.some((stride, i) => i > 0 && stride !== 2 * strides[i - 1])) {
      throw new ShapeError(`FeaturePyramid: each stride must be twice the last, got ${listed}`);
    }
    this.#sources = strides.flatMap((stride) => {
      const at = inputs.findIndex((level) => level.stride === stride);
      return at < 0 ? [] : [at];
    });
    const found = this.#sources.map((at) => inputs[at] as FeatureLevel);
    if (found.length === 0 || found.some(({ stride }, i) => stride !== strides[i])) {
      const had = inputs.map(({ stride }) => stride).join(", ");
      throw new ShapeError(
        `FeaturePyramid: the encoder must have the finest strides of ${listed} without a gap, it has ${had}`,
      );
    }
    this.norms = found.map(({ channels }) => new LayerNorm(channels));
    this.laterals = found.map(({ channels }) => new Linear({ inputs: channels, outputs: width }));
    this.outputs = found.map(() => new MapConvolution({ inputs: width, outputs: width, kernel: 3 }));
    this.further = Array.from(
      { length: strides.length - found.length },
      () => new PatchProjection({ inputs: width, outputs: width, kernel: 3, stride: 2, padding: 1 }),
    );
    this.#config = config;
  }

  get config(): FeaturePyramidConfig {
    return this.#config;
  }

  /**
   * @param levels  the encoder's, as many as `config.inputs`
   * @returns       one row-major map for each of `config.strides`, [B, H·W, width]
   */
  forward(levels: readonly TokenMap[]): TokenMap[] {
    if (levels.length !== this.#config.inputs.length) {
      throw new ShapeError(
        `FeaturePyramid: levels must be ${this.#config.inputs.length} as configured, got ${levels.length}`,
      );
    }
    const maps = this.#sources.map((at, i) => {
      const level = (levels[at] as TokenMap).inOrder();
      const normal = (this.norms[i] as LayerNorm).forward(level.tokens);
      return level.with((this.laterals[i] as Linear).forward(normal));
    });
    for (let i = maps.length - 2; i >= 0; i--) {
      const finer = maps[i] as TokenMap;
      maps[i] = finer.with(add(finer.tokens, repeatTokens(maps[i + 1] as TokenMap, finer)));
    }
    const pyramid = maps.map((map, i) => map.with((this.outputs[i] as MapConvolution).forward(map.tokens, map)));
    for (const [i, projection] of this.further.entries()) {
      const last = pyramid.at(-1) as TokenMap;
      pyramid.push(projection.forward(i === 0 ? last : last.with(relu(last.tokens))));
    }
    return pyramid;
  }
}

/** The nearest token of a coarser map for each place of a finer one. */
function repeatTokens(map: TokenMap, { height, width }: { height: number; width: number }) {
  const indices = Int32Array.from({ length: height * width }, (_, i) => {
    const row = Math.floor((Math.floor(i / width) * map.height) / height);
    const column = Math.floor(((i % width) * map.width) / width);
    return row * map.width + column;
  });
  return gatherFixed(map.tokens, indices);
}
