import { ShapeError } from "../core/errors.ts";
import { gatherFixed } from "../graph/indexing.ts";
import { formatShape, type Tensor } from "../graph/tensor.ts";
import { composeOrders, inverseOrder } from "./windows.ts";

/**
 * A feature map as tokens [B, H·W, C]. The tokens may stand in another order than row-major (window by window, say):
 * `order[place]` is the row-major token at that place. Layers that work token by token need not know.
 */
export class TokenMap {
  readonly tokens: Tensor;
  readonly height: number;
  readonly width: number;
  readonly order: Int32Array | undefined;

  constructor(tokens: Tensor, height: number, width: number, order?: Int32Array) {
    if (tokens.rank !== 3 || tokens.shape[1] !== height * width) {
      throw new ShapeError(`TokenMap: tokens must be [B, ${height}·${width}, C], got ${formatShape(tokens)}`);
    }
    this.tokens = tokens;
    this.height = height;
    this.width = width;
    this.order = order;
  }

  /** The same map with other tokens in the same order. */
  with(tokens: Tensor): TokenMap {
    return new TokenMap(tokens, this.height, this.width, this.order);
  }

  /** The same map with its tokens moved into `order` (row-major if absent); free if they stand so already. */
  inOrder(order?: Int32Array): TokenMap {
    const count = this.height * this.width;
    const standing = this.order ? inverseOrder(this.order, count) : undefined;
    const wanted = order ?? (this.order ? Int32Array.from({ length: count }, (_, i) => i) : undefined);
    if (!wanted) return this;
    const moves = standing ? composeOrders(standing, wanted) : wanted;
    return new TokenMap(gatherFixed(this.tokens, moves), this.height, this.width, order);
  }
}
