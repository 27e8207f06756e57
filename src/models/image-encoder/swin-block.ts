import type { ActivationName } from "../../graph/activations.ts";
import { add, reshape } from "../../graph/broadcasting.ts";
import { gatherFixed } from "../../graph/indexing.ts";
import { constant, type Tensor } from "../../graph/tensor.ts";
import type { ResidualJoin } from "../../nn/drop-path.ts";
import { inImageGroups } from "../../nn/image-groups.ts";
import { LayerNorm } from "../../nn/layer-norm.ts";
import { Mlp } from "../../nn/mlp.ts";
import type { TokenMap } from "../../nn/token-map.ts";
import { WindowAttention } from "../../nn/window-attention.ts";
import { inverseOrder, paddedSize, shiftMask, windowOrder } from "../../nn/windows.ts";

export interface SwinBlockConfig {
  width: number;
  heads: number;
  window: number;
  shift: number;
  mlpRatio: number;
  activation: ActivationName;
}

/** Pre-norm window attention and MLP, each with a residual. Swin, arXiv:2103.14030 §3.2. */
export class SwinBlock {
  readonly norm1: LayerNorm;
  readonly attn: WindowAttention;
  readonly norm2: LayerNorm;
  readonly mlp: Mlp;
  readonly #window: number;
  readonly #shift: number;
  readonly #hidden: number;

  constructor({ width, heads, window, shift, mlpRatio, activation }: SwinBlockConfig) {
    this.norm1 = new LayerNorm(width);
    this.attn = new WindowAttention({ width, heads, window });
    this.norm2 = new LayerNorm(width);
    this.#hidden = Math.round(mlpRatio * width);
    this.mlp = new Mlp({ width, hidden: this.#hidden, activation });
    this.#window = window;
    this.#shift = shift;
  }

  /** The token order this block works in: its windows one after the other; none if the map needs padding first. */
  order(size: { height: number; width: number }): Int32Array | undefined {
    const grid = this.#grid(size);
    const padded = paddedSize(grid);
    const whole = padded.height === size.height && padded.width === size.width;
    return whole ? windowOrder(grid) : undefined;
  }

  /** `map` in this block's `order`; `joins` as the two branches are to be added, plainly by default. */
  forward(map: TokenMap, joins: readonly ResidualJoin[] = [add, add], wholeBatch = false): TokenMap {
    const grouped = wholeBatch
      ? (x: Tensor, _width: number, branch: (x: Tensor) => Tensor) => branch(x)
      : inImageGroups;
    const [joinAttention, joinMlp] = joins;
    const width = map.tokens.shape[2] as number;
    const attention = (x: Tensor): Tensor => this.#attend(this.norm1.forward(x), map);
    const attended = joinAttention(map.tokens, grouped(map.tokens, 3 * width, attention));
    const mlp = (x: Tensor): Tensor => this.mlp.forward(this.norm2.forward(x));
    return map.with(joinMlp(attended, grouped(attended, this.#hidden, mlp)));
  }

  #attend(x: Tensor, map: TokenMap): Tensor {
    const grid = this.#grid(map);
    const [batch, tokens, channels] = x.shape;
    const area = this.#window ** 2;
    const mask = this.#maskOf(grid);
    if (map.order) {
      const windows = reshape(x, [-1, area, channels]);
      return reshape(this.attn.forward(windows, mask), x.shape);
    }
    // Padding is added after the norm, so that padded tokens are zeros to the attention.
    const order = windowOrder(grid);
    const windows = reshape(gatherFixed(x, order), [-1, area, channels]);
    const attended = reshape(this.attn.forward(windows, mask), [batch, order.length, channels]);
    return gatherFixed(attended, inverseOrder(order, tokens));
  }

  #grid({ height, width }: { height: number; width: number }) {
    const fits = Math.min(height, width) <= this.#window;
    return { height, width, window: this.#window, shift: fits ? 0 : this.#shift };
  }

  #maskOf(grid: { height: number; width: number; window: number; shift: number }): Tensor | undefined {
    if (grid.shift === 0) return undefined;
    const area = grid.window ** 2;
    const padded = paddedSize(grid);
    return constant(shiftMask(grid), [(padded.height * padded.width) / area, area, area]);
  }
}
