import { ShapeError } from "../../core/errors.ts";
import { add, mul, reshape } from "../../graph/broadcasting.ts";
import { type Deformation, deformableConvolution } from "../../graph/deformable-convolution.ts";
import { relu, sigmoid } from "../../graph/elementwise.ts";
import { mean } from "../../graph/reductions.ts";
import { resizeMapBilinear } from "../../graph/sampling.ts";
import { split } from "../../graph/shaping.ts";
import { Parameter, type Tensor } from "../../graph/tensor.ts";
import { DynamicRelu, hardSigmoid } from "../../nn/dynamic-relu.ts";
import { GroupNorm } from "../../nn/group-norm.ts";
import { Linear } from "../../nn/linear.ts";
import { MapConvolution } from "../../nn/map-convolution.ts";
import { normal, zeros } from "../../nn/module.ts";
import type { TokenMap } from "../../nn/token-map.ts";

export interface DynamicHeadConfig {
  readonly width: number; // channels of every level
  readonly blocks: number;
  readonly groups: number; // of the group norms; divides the width
}

const kernel = 3;
const taps = kernel * kernel;

/** Scale-, spatial- and task-aware attention over a feature pyramid, block by block. Dai et al., arXiv:2106.08322. */
export class DynamicHead {
  readonly blocks: readonly DynamicHeadBlock[];

  constructor(config: DynamicHeadConfig) {
    this.blocks = Array.from({ length: config.blocks }, () => new DynamicHeadBlock(config));
  }

  /** @param levels  row-major maps [B, H·W, width], finest first, each half as large as the last (rounded up) */
  forward(levels: readonly TokenMap[]): TokenMap[] {
    return this.blocks.reduce<TokenMap[]>((maps, block) => block.forward(maps), [...levels]);
  }
}

/**
 * One block: each level is the mean of itself and its neighbours in scale, each sampled where the level's own features
 * say (spatial), weighted by a gate (scale), and bent by a dynamic ReLU (task).
 *
 * The released code gives the coarser neighbour the offsets of the level as they lie in memory, though its map is
 * smaller. Here offsets and factors are resized bilinearly to the neighbour's size, and stay in pixels of the map that
 * is sampled; its result is resized back, both between pixel centres.
 */
export class DynamicHeadBlock {
  readonly offset: MapConvolution; // to 18 offsets and 9 factors
  readonly own: SampledNeighbour;
  readonly finer: SampledNeighbour; // of stride 2
  readonly coarser: SampledNeighbour;
  readonly scaleAttention: Linear; // to one gate
  readonly taskAttention: DynamicRelu;

  constructor({ width, groups }: DynamicHeadConfig) {
    this.offset = new MapConvolution({ inputs: width, outputs: 3 * taps, kernel, initialize: zeros });
    this.own = new SampledNeighbour({ width, groups, stride: 1 });
    this.finer = new SampledNeighbour({ width, groups, stride: 2 });
    this.coarser = new SampledNeighbour({ width, groups, stride: 1 });
    this.scaleAttention = new Linear({ inputs: width, outputs: 1, initialize: normal(0.01) });
    this.taskAttention = new DynamicRelu({ width });
  }

  forward(levels: readonly TokenMap[]): TokenMap[] {
    checkHalving(levels);
    return levels.map((level, i) => {
      const [offsets, raw] = split(this.offset.forward(level.tokens, level), 2, [2 * taps, taps]) as [Tensor, Tensor];
      const deformation = { offsets, factors: sigmoid(raw) };
      const features = [this.own.forward(level, deformation)];
      const [finer, coarser] = [levels[i - 1], levels[i + 1]];
      if (finer) features.push(this.finer.forward(finer, deformation));
      if (coarser) {
        const resized = {
          offsets: resizeTokens(offsets, level, coarser),
          factors: resizeTokens(deformation.factors, level, coarser),
        };
        features.push(resizeTokens(this.coarser.forward(coarser, resized), coarser, level));
      }
      const gated = features.map((feature) => mul(feature, this.#gate(feature)));
      const combined = mul(gated.reduce(add), 1 / gated.length);
      return level.with(this.taskAttention.forward(combined));
    });
  }

  /** How much a feature counts, [B, 1, 1] in [½, 1]. */
  #gate(feature: Tensor): Tensor {
    return hardSigmoid(relu(this.scaleAttention.forward(mean(feature, 1, true))));
  }
}

/** A deformable 3×3 convolution and a group norm. */
class SampledNeighbour {
  readonly weight: Parameter; // [width, width, 3, 3]
  readonly norm: GroupNorm;
  readonly #stride: number;

  constructor({ width, groups, stride }: { width: number; groups: number; stride: number }) {
    this.weight = new Parameter([width, width, kernel, kernel], normal(0.01));
    this.norm = new GroupNorm({ channels: width, groups });
    this.#stride = stride;
  }

  forward(map: TokenMap, deformation: Deformation): Tensor {
    const geometry = { height: map.height, width: map.width, stride: this.#stride, padding: 1 };
    return this.norm.forward(deformableConvolution(map.tokens, deformation, this.weight, undefined, geometry));
  }
}

interface MapSize {
  readonly height: number;
  readonly width: number;
}

function resizeTokens(tokens: Tensor, from: MapSize, to: MapSize): Tensor {
  const [batch, , channels] = tokens.shape;
  const map = reshape(tokens, [batch, from.height, from.width, channels]);
  return reshape(resizeMapBilinear(map, to.height, to.width), [batch, to.height * to.width, channels]);
}

function checkHalving(levels: readonly TokenMap[]): void {
  for (const [i, { height, width, order }] of levels.entries()) {
    const before = levels[i - 1];
    const halves = !before || (height === Math.ceil(before.height / 2) && width === Math.ceil(before.width / 2));
    if (order || !halves) {
      const sizes = levels.map((level) => `${level.height}×${level.width}`).join(", ");
      throw new ShapeError(`DynamicHead: row-major levels must each be half of the last, rounded up, got ${sizes}`);
    }
  }
}
