import { ShapeError } from "../../core/errors.ts";
import { expand, mul, reshape } from "../../graph/broadcasting.ts";
import { exp } from "../../graph/elementwise.ts";
import { linear, matmul } from "../../graph/matrix.ts";
import { concat } from "../../graph/shaping.ts";
import { normalizeL2 } from "../../graph/softmax.ts";
import { constant, formatShape, type Initializer, Parameter, type Tensor } from "../../graph/tensor.ts";
import { Linear } from "../../nn/linear.ts";
import { constantValue, normal } from "../../nn/module.ts";
import type { TokenMap } from "../../nn/token-map.ts";

/** What the classes are: a fixed number of them (1: object or not), or texts that are given at every run. */
export type DetectionClasses =
  | { readonly kind: "fixed"; readonly count: number }
  | { readonly kind: "text"; readonly embedding: number }; // axes of the text embeddings

export interface AtssHeadConfig {
  readonly width: number; // channels of every level
  readonly levels: number;
  readonly classes: DetectionClasses;
}

/** What the head says of each anchor, levels one after the other, each row-major. */
export interface DetectionOutputs {
  readonly logits: Tensor; // [B, A, K]
  readonly deltas: Tensor; // [B, A, 4], of the anchor's box, as `decodeBoxes` reads them
  readonly centerness: Tensor; // [B, A], a logit
}

/** How probable an object is at an anchor before training: few anchors have one. RetinaNet, arXiv:1708.02002 §4.1. */
const priorLogit = -Math.log((1 - 0.01) / 0.01);

/** log(1/0.07), where CLIP's logit scale starts. */
const initialLogScale = Math.log(1 / 0.07);

/**
 * The head of ATSS in the form Dynamic Head has it, without towers of its own: 1×1 maps to classes, box and centerness.
 * Zhang et al., arXiv:1912.02424; Dai et al., arXiv:2106.08322.
 */
export class AtssHead {
  readonly classifier: LinearClassifier | TextClassifier;
  readonly box: Linear;
  readonly centerness: Linear;
  readonly levelScales: Parameter; // [levels], multiply the deltas
  readonly #config: AtssHeadConfig;

  constructor(config: AtssHeadConfig) {
    const { width, classes } = config;
    this.classifier =
      classes.kind === "fixed"
        ? new LinearClassifier({ width, count: classes.count })
        : new TextClassifier({ width, embedding: classes.embedding });
    this.box = new Linear({ inputs: width, outputs: 4, initialize: normal(0.01) });
    this.centerness = new Linear({ inputs: width, outputs: 1, initialize: normal(0.01) });
    this.levelScales = new Parameter([config.levels], constantValue(1));
    this.#config = config;
  }

  /**
   * @param levels  row-major maps [B, H·W, width]
   * @param texts   [K, D] class embeddings of length 1, if the classes are texts
   */
  forward(levels: readonly TokenMap[], texts?: Tensor): DetectionOutputs {
    if (levels.length !== this.#config.levels) {
      throw new ShapeError(`AtssHead: there must be ${this.#config.levels} levels, got ${levels.length}`);
    }
    const tokens = concat(
      levels.map(({ tokens: level }) => level),
      1,
    );
    const [batch, anchors] = tokens.shape;
    return {
      logits: this.classifier.forward(tokens, texts),
      deltas: mul(this.box.forward(tokens), this.#scalePerAnchor(levels)),
      centerness: reshape(this.centerness.forward(tokens), [batch, anchors]),
    };
  }

  /** [A, 1]. A product with a fixed matrix, which has a gradient. */
  #scalePerAnchor(levels: readonly TokenMap[]): Tensor {
    const anchorLevels = levels.flatMap(({ height, width }, l) => new Array<number>(height * width).fill(l));
    const count = levels.length;
    const membership = new Float32Array(anchorLevels.length * count);
    for (const [anchor, level] of anchorLevels.entries()) membership[anchor * count + level] = 1;
    return matmul(constant(membership, [anchorLevels.length, count]), reshape(this.levelScales, [count, 1]));
  }
}

/** A fixed set of classes: one affine map. */
export class LinearClassifier {
  readonly weight: Parameter; // [K, width]
  readonly bias: Parameter; // [K]

  constructor({ width, count }: { width: number; count: number }) {
    this.weight = new Parameter([count, width], normal(0.01));
    this.bias = new Parameter([count], constantValue(priorLogit));
  }

  /** @param x  [B, A, width].  @returns  [B, A, K] */
  forward(x: Tensor, texts?: Tensor): Tensor {
    if (texts) throw new ShapeError("LinearClassifier: the classes are fixed, got texts");
    return linear(x, this.weight, this.bias);
  }
}

/**
 * Classes by their texts: the cosine of a mapped feature and the text's embedding, scaled and shifted, so that labels
 * may change from run to run. After GLIP's alignment scores (arXiv:2112.03857), one embedding a class instead of tokens.
 */
export class TextClassifier {
  readonly projection: Linear;
  readonly logScale: Parameter; // [], the logarithm of what multiplies the cosine
  readonly bias: Parameter; // []
  readonly #embedding: number;

  constructor({ width, embedding }: { width: number; embedding: number }) {
    const initialize: Initializer = normal(width ** -0.5);
    this.projection = new Linear({ inputs: width, outputs: embedding, bias: false, initialize });
    this.logScale = new Parameter([], constantValue(initialLogScale));
    this.bias = new Parameter([], constantValue(priorLogit));
    this.#embedding = embedding;
  }

  /** @param x  [B, A, width].  @param texts  [K, D], of length 1.  @returns  [B, A, K] */
  forward(x: Tensor, texts?: Tensor): Tensor {
    if (texts?.rank !== 2 || texts.shape[1] !== this.#embedding) {
      const got = texts ? formatShape(texts) : "none";
      throw new ShapeError(`TextClassifier: texts must be [K, ${this.#embedding}], got ${got}`);
    }
    // Scaled ahead of the product, shifted within it: no further pass over what has as many values as there are labels.
    const scaled = mul(normalizeL2(this.projection.forward(x)), exp(this.logScale));
    return linear(scaled, texts, expand(this.bias, [texts.shape[0]]));
  }
}
