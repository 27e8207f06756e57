import { reshape } from "../../graph/broadcasting.ts";
import { gatherFixed } from "../../graph/indexing.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { Linear } from "../../nn/linear.ts";
import { PatchProjection, type PatchProjectionConfig } from "../../nn/patch-projection.ts";
import { TokenMap } from "../../nn/token-map.ts";

interface MapSize {
  height: number;
  width: number;
}

/** A step from a finer to a coarser token map. `order`: how the result's tokens shall stand, row-major if absent. */
export interface Downsampling {
  outputSize(size: MapSize): MapSize;
  forward(map: TokenMap, order?: Int32Array): TokenMap;
}

/** CvT's convolutional token embedding: an overlapping strided convolution, then a norm. arXiv:2103.15808 §3.1. */
export class ConvolutionalEmbedding implements Downsampling {
  readonly proj: PatchProjection;
  readonly norm: LayerNorm;

  constructor(config: PatchProjectionConfig) {
    this.proj = new PatchProjection(config);
    this.norm = new LayerNorm(config.outputs);
  }

  outputSize(size: MapSize): MapSize {
    return this.proj.outputSize(size);
  }

  forward(map: TokenMap, order?: Int32Array): TokenMap {
    const projected = this.proj.forward(map, order);
    return projected.with(this.norm.forward(projected.tokens));
  }
}

/** Swin's patch merging: four neighbours side by side, a norm, a linear map from 4C to 2C. arXiv:2103.14030 §3.1. */
export class PatchMerging implements Downsampling {
  readonly norm: LayerNorm;
  readonly reduction: Linear;

  constructor(width: number) {
    this.norm = new LayerNorm(4 * width);
    this.reduction = new Linear({ inputs: 4 * width, outputs: 2 * width, bias: false });
  }

  outputSize({ height, width }: MapSize): MapSize {
    return { height: Math.ceil(height / 2), width: Math.ceil(width / 2) };
  }

  forward(map: TokenMap, order?: Int32Array): TokenMap {
    const rowMajor = map.inOrder();
    const size = this.outputSize(map);
    const count = size.height * size.width;
    const indices = new Int32Array(4 * count);
    for (let place = 0; place < count; place++) {
      const token = order ? order[place] : place;
      const top = 2 * Math.floor(token / size.width);
      const left = 2 * (token % size.width);
      // Swin's order of neighbours: down each column first.
      for (const [k, [dr, dc]] of neighbours.entries()) {
        const inside = top + dr < map.height && left + dc < map.width;
        indices[4 * place + k] = inside ? (top + dr) * map.width + left + dc : -1;
      }
    }
    const [batch, , channels] = rowMajor.tokens.shape;
    const merged = reshape(gatherFixed(rowMajor.tokens, indices), [batch, count, 4 * channels]);
    return new TokenMap(this.reduction.forward(this.norm.forward(merged)), size.height, size.width, order);
  }
}

const neighbours = [
  [0, 0],
  [1, 0],
  [0, 1],
  [1, 1],
] as const;
