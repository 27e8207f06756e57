import type { ActivationName } from "../../graph/activations.ts";
import { add, mul, reshape } from "../../graph/broadcasting.ts";
import { cast } from "../../graph/elementwise.ts";
import { checkpointed } from "../../graph/recomputation.ts";
import { mean } from "../../graph/reductions.ts";
import { constant, type Tensor } from "../../graph/tensor.ts";
import type { DropPath } from "../../nn/drop-path.ts";
import { linearDropRates } from "../../nn/drop-path.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import type { ChannelAffine } from "../../nn/patch-projection.ts";
import { TokenMap } from "../../nn/token-map.ts";
import { ConvolutionBlock } from "./convolution-block.ts";
import { ConvolutionalEmbedding, type Downsampling, PatchMerging } from "./coswin-embedding.ts";
import { SwinBlock } from "./swin-block.ts";

export interface CoSwinConfig {
  kind: "coswin";
  imageSize: number; // pixels on a side
  width: number; // channels of the first stage; doubled by each later one
  depths: readonly number[]; // blocks by stage
  convolutionStages?: number | undefined; // so many first stages have convolutional blocks, the rest attention; 0 if left out
  headWidth: number; // channels of an attention head
  window: number; // tokens on a side; a stage with a smaller map takes one window for all of it
  mlpRatio: number;
  activation: ActivationName;
  embedding: "convolution" | "patch"; // CoSwin's overlapping convolutions, or Swin's patches and merges
  stemKernel: number; // of the convolutional stem
  stemStride: number;
  dropPath: number; // rate of the last block in training
  mean: readonly [number, number, number]; // of RGB in [0, 1]
  std: readonly [number, number, number];
}

/** How a forward pass is built: for training, or for export. */
export interface ForwardOptions {
  dropPath?: DropPath;
  recompute?: boolean; // keep block inputs alone and compute the rest again in the backward pass
  wholeBatch?: boolean; // no image groups: their number depends on the batch, and an exported graph must not
  fixedWeights?: boolean; // nothing is learnt: what is done to the pixels first may move into the weights
}

export interface ImageFeatures {
  levels: TokenMap[]; // the end of each stage, finest first, not normalised
  pooled: Tensor; // [B, features]: norm, then mean over tokens
}

/**
 * CoSwin: a Swin transformer whose patch embedding and merging are CvT's overlapping convolutions. Florence,
 * arXiv:2111.11432 §2.3; Swin, arXiv:2103.14030; CvT, arXiv:2103.15808.
 */
export class CoSwin {
  readonly patchEmbed: Downsampling;
  readonly stages: readonly CoSwinStage[];
  readonly norm: LayerNorm;
  readonly #config: CoSwinConfig;

  constructor(config: CoSwinConfig) {
    const { width, depths, embedding } = config;
    this.patchEmbed =
      embedding === "convolution"
        ? new ConvolutionalEmbedding({
            inputs: 3,
            outputs: width,
            kernel: config.stemKernel,
            stride: config.stemStride,
            padding: Math.floor(config.stemStride / 2),
          })
        : new ConvolutionalEmbedding({ inputs: 3, outputs: width, kernel: 4, stride: 4, padding: 0 });
    let size = this.patchEmbed.outputSize({ height: config.imageSize, width: config.imageSize });
    this.stages = depths.map((depth, s) => {
      const stage = new CoSwinStage(config, { stage: s, depth, side: size.height });
      size = stage.downsample?.outputSize(size) ?? size;
      return stage;
    });
    this.norm = new LayerNorm(this.features);
    this.#config = config;
  }

  get config(): CoSwinConfig {
    return this.#config;
  }

  /** Channels of the pooled features. */
  get features(): number {
    const last = this.stages.at(-1) as CoSwinStage;
    return last.width;
  }

  /** Drop rates of the residual branches, as `DropPath` takes them. */
  get dropRates(): number[] {
    const blocks = this.#config.depths.reduce((a, b) => a + b, 0);
    return linearDropRates(this.#config.dropPath, blocks);
  }

  /** @param pixels  [B, H, W, 3] uint8 RGB */
  forward(pixels: Tensor, options: ForwardOptions = {}): ImageFeatures {
    return this.forwardNormalized(normalizePixels(pixels, this.#config.mean, this.#config.std), options);
  }

  /** @param image  [B, H, W, 3] float32, normalised */
  forwardNormalized(image: Tensor, options: ForwardOptions = {}): ImageFeatures {
    const [batch, height, width] = image.shape;
    const pixels = new TokenMap(reshape(image, [batch, height * width, 3]), height, width);
    const size = this.patchEmbed.outputSize(pixels);
    let map = this.patchEmbed.forward(pixels, this.stages[0]?.firstOrder(size));
    const levels: TokenMap[] = [];
    for (const [s, stage] of this.stages.entries()) {
      const { level, next } = stage.forward(map, this.stages[s + 1], options);
      levels.push(level);
      map = next;
    }
    return { levels, pooled: mean(this.norm.forward(map.tokens), 1) };
  }
}

/** Blocks at one resolution, windows shifted in every other one, then a step down to the next stage. */
export class CoSwinStage {
  readonly blocks: readonly (SwinBlock | ConvolutionBlock)[];
  readonly downsample: Downsampling | undefined;
  readonly #width: number;

  constructor(config: CoSwinConfig, { stage, depth, side }: { stage: number; depth: number; side: number }) {
    const width = config.width * 2 ** stage;
    const hasNext = stage < config.depths.length - 1;
    const isConvolutional = stage < (config.convolutionStages ?? 0);
    const whole = side <= config.window;
    const window = whole ? side : config.window;
    this.blocks = Array.from({ length: depth }, (_, i) =>
      isConvolutional
        ? new ConvolutionBlock({ width, activation: config.activation })
        : new SwinBlock({
            width,
            heads: Math.max(1, width / config.headWidth),
            window,
            shift: whole || i % 2 === 0 ? 0 : Math.floor(window / 2),
            mlpRatio: config.mlpRatio,
            activation: config.activation,
          }),
    );
    this.#width = width;
    if (hasNext) {
      this.downsample =
        config.embedding === "convolution"
          ? new ConvolutionalEmbedding({ inputs: width, outputs: 2 * width, kernel: 3, stride: 2, padding: 1 })
          : new PatchMerging(width);
    }
  }

  get width(): number {
    return this.#width;
  }

  /** The token order that the first block would have its input in. */
  firstOrder(size: { height: number; width: number }): Int32Array | undefined {
    return this.blocks[0]?.order(size);
  }

  forward(
    map: TokenMap,
    following: CoSwinStage | undefined,
    { dropPath, recompute, wholeBatch }: ForwardOptions,
  ): { level: TokenMap; next: TokenMap } {
    let level = map;
    for (const block of this.blocks) {
      const ordered = level.inOrder(block.order(level));
      const joins = dropPath?.take(2); // ahead of the segment, which checkpointing builds twice
      const segment = (tokens: Tensor): Tensor => block.forward(ordered.with(tokens), joins, wholeBatch).tokens;
      level = ordered.with(recompute ? checkpointed(segment, ordered.tokens) : segment(ordered.tokens));
    }
    if (!this.downsample) return { level, next: level };
    const size = this.downsample.outputSize(level);
    return { level, next: this.downsample.forward(level, following?.firstOrder(size)) };
  }
}

/** uint8 RGB [B, H, W, 3] to float32 with the given mean and deviation of values in [0, 1]. */
export function normalizePixels(pixels: Tensor, mean: readonly number[], std: readonly number[]): Tensor {
  const { scale, offset } = pixelAffine(mean, std);
  return add(mul(cast(pixels, "float32"), constant(scale, [3])), constant(offset, [3]));
}

/** Pixels of a picture from one token of the last level to the next. */
export function lastStride({ depths, embedding, stemStride }: CoSwinConfig): number {
  return (embedding === "patch" ? 4 : stemStride) * 2 ** (depths.length - 1);
}

/**
 * Tokens on a side of the last stage at the encoder's own image size, or its window where that is smaller: the window
 * with which what it learnt of positions stays true on larger pictures.
 */
export function ownWindow(config: CoSwinConfig): number {
  return Math.min(config.window, Math.max(1, Math.floor(config.imageSize / lastStride(config))));
}

/** What makes a byte a value of the given mean and deviation in [0, 1], by channel. */
export function pixelAffine(mean: readonly number[], std: readonly number[]): ChannelAffine {
  const scale = Float32Array.from(std, (value) => 1 / (255 * value));
  const offset = Float32Array.from(mean, (value, i) => -value / std[i]);
  return { scale, offset };
}
