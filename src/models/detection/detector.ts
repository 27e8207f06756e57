import type { Parameter, Tensor } from "../../graph/tensor.ts";
import { namedParameters } from "../../nn/module.ts";
import type { TokenMap } from "../../nn/token-map.ts";
import { CoSwin, type CoSwinConfig, type ForwardOptions } from "../image-encoder/coswin.ts";
import { type AnchorGrid, anchorGrid } from "./anchors.ts";
import { AtssHead, type DetectionClasses, type DetectionOutputs } from "./atss-head.ts";
import { DynamicHead } from "./dynamic-head.ts";
import { type FeatureLevel, FeaturePyramid } from "./feature-pyramid.ts";

export interface DetectorConfig {
  readonly image: CoSwinConfig;
  readonly strides: readonly number[]; // of the pyramid's levels, finest first, each twice the last
  readonly width: number; // channels of the pyramid and the head
  readonly blocks: number; // of the Dynamic Head
  readonly groups: number; // of its norms
  readonly classes: DetectionClasses;
}

/** All of a detector but its image encoder and classes. `paper` is Dynamic Head's, which Florence took (§2.4). */
export const detectorPresets = {
  nano: { strides: [8, 16, 32, 64], width: 64, blocks: 2, groups: 8 },
  fine: { strides: [4, 8, 16, 32], width: 64, blocks: 2, groups: 8 }, // for small pictures: anchors from 32 pixels on
  tiny: { strides: [8, 16, 32, 64, 128], width: 96, blocks: 3, groups: 8 },
  paper: { strides: [8, 16, 32, 64, 128], width: 256, blocks: 6, groups: 16 },
} as const satisfies Record<string, Omit<DetectorConfig, "image" | "classes">>;

/** One object or none: proposals for another model to name. */
export const classAgnostic: DetectionClasses = { kind: "fixed", count: 1 };

export interface DetectorResult {
  readonly outputs: DetectionOutputs;
  readonly grid: AnchorGrid;
  readonly lastLevel: TokenMap; // the image encoder's, ahead of its norm
}

/**
 * Object detection as Florence adapts its image encoder to it: a feature pyramid on CoSwin, Dynamic Head, an ATSS head.
 * Florence, arXiv:2111.11432 §2.4; Dynamic Head, arXiv:2106.08322.
 */
export class Detector {
  readonly imageEncoder: CoSwin;
  readonly pyramid: FeaturePyramid;
  readonly dynamicHead: DynamicHead;
  readonly head: AtssHead;
  readonly #config: DetectorConfig;

  constructor(config: DetectorConfig) {
    const { image, strides, width, blocks, groups, classes } = config;
    this.imageEncoder = new CoSwin(image);
    this.pyramid = new FeaturePyramid({ inputs: encoderLevels(image), strides, width });
    this.dynamicHead = new DynamicHead({ width, blocks, groups });
    this.head = new AtssHead({ width, levels: strides.length, classes });
    this.#config = config;
  }

  get config(): DetectorConfig {
    return this.#config;
  }

  /** What can be learnt by detecting: all but the encoder's last norm, which its levels come ahead of. */
  get learnable(): Map<string, Parameter> {
    const named = [...namedParameters(this)];
    return new Map(named.filter(([name]) => !name.startsWith("imageEncoder.norm.")));
  }

  /**
   * @param pixels  [B, H, W, 3] uint8 RGB, H and W multiples of the finest stride
   * @param texts   [K, D] class embeddings of length 1, if the classes are texts
   */
  forward(pixels: Tensor, texts?: Tensor, options: ForwardOptions = {}): DetectorResult {
    const { levels } = this.imageEncoder.forward(pixels, options);
    const maps = this.dynamicHead.forward(this.pyramid.forward(levels));
    const grid = anchorGrid(
      maps.map(({ height, width }, i) => ({ stride: this.#config.strides[i] as number, height, width })),
    );
    return { outputs: this.head.forward(maps, texts), grid, lastLevel: levels.at(-1) as TokenMap };
  }
}

/** Strides and channels of a CoSwin's levels. */
export function encoderLevels({ depths, width, embedding, stemStride }: CoSwinConfig): FeatureLevel[] {
  const first = embedding === "patch" ? 4 : stemStride;
  return depths.map((_, stage) => ({ stride: first * 2 ** stage, channels: width * 2 ** stage }));
}
