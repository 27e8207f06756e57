import { mul } from "../../graph/broadcasting.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ForwardOptions } from "../../models/image-encoder/coswin.ts";
import type { TwoTower } from "../../models/two-tower.ts";
import { Linear } from "../../nn/linear.ts";
import { truncatedNormal, type Weights } from "../../nn/module.ts";

/** What a classifier of a model reads: its embeddings (of length 1) times a factor, or the features before projection. */
export type HeadInput = { readonly kind: "embedding"; readonly scale: number } | { readonly kind: "pooled" };

/** A linear classifier on an image tower: one row a class. */
export class ClassifierHead {
  readonly weight: Linear["weight"]; // [K, D] or [K, F]
  readonly bias: Linear["bias"]; // [K]
  readonly #linear: Linear;

  constructor(inputs: number, classes: number) {
    this.#linear = new Linear({ inputs, outputs: classes, initialize: truncatedNormal(0.01) });
    this.weight = this.#linear.weight;
    this.bias = this.#linear.bias;
  }

  /** @param x  [B, inputs].  @returns  logits [B, K] */
  forward(x: Tensor): Tensor {
    return this.#linear.forward(x);
  }
}

/** How many values an input of a head has. */
export function headWidth(model: TwoTower, input: HeadInput, embedding: number): number {
  return input.kind === "embedding" ? embedding : model.imageEncoder.features;
}

/** What the head reads of pictures, [B, inputs]. @param pixels  [B, H, W, 3] uint8 RGB */
export function headFeatures(model: TwoTower, input: HeadInput, pixels: Tensor, options: ForwardOptions): Tensor {
  if (input.kind === "pooled") return model.imageEncoder.forward(pixels, options).pooled;
  return mul(model.embedImages(pixels, options), input.scale);
}

/**
 * The head that classifies as the model does by its texts: class embeddings as weights, on embeddings times the logit
 * scale. So tuning starts from the zero-shot model, and can be interpolated with it (Wortsman et al., arXiv:2109.01903).
 *
 * @param classEmbeddings  [K, D], of length 1
 * @param bias             what a sigmoid model adds to every score; 0 for a softmax
 */
export function zeroShotHead(classEmbeddings: Float32Array, classes: number, bias: number): Weights {
  return new Map([
    ["weight", classEmbeddings.slice()],
    ["bias", new Float32Array(classes).fill(bias)],
  ]);
}

/**
 * Scores of every picture for every class, on plain arrays.
 *
 * @param features  [N, inputs], as {@link headFeatures} gives them but not yet scaled
 * @returns         [N, K]
 */
export function headLogits(
  features: Float32Array,
  weight: Float32Array,
  bias: Float32Array,
  input: HeadInput,
): Float32Array {
  const classes = bias.length;
  const width = weight.length / classes;
  const rows = features.length / width;
  const scale = input.kind === "embedding" ? input.scale : 1;
  const logits = new Float32Array(rows * classes);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < classes; k++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += features[row * width + i] * weight[k * width + i];
      logits[row * classes + k] = scale * sum + bias[k];
    }
  }
  return logits;
}
