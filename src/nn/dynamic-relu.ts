import { add, mul } from "../graph/broadcasting.ts";
import { clamp, maximum, relu } from "../graph/elementwise.ts";
import { mean } from "../graph/reductions.ts";
import { split } from "../graph/shaping.ts";
import type { Tensor } from "../graph/tensor.ts";
import { Linear } from "./linear.ts";
import { normal } from "./module.ts";

/** min(max(x + 3, 0), 6) / 6, a sigmoid of straight lines. */
export function hardSigmoid(x: Tensor): Tensor {
  return mul(clamp(add(x, 3), 0, 6), 1 / 6);
}

/**
 * The larger of two lines a·x + b for each channel, chosen by a small network from the channels' means. Chen et al.,
 * arXiv:2003.10027, in the form of Dynamic Head (arXiv:2106.08322): a hard sigmoid, slopes within 1 ± 1 and ± 1.
 */
export class DynamicRelu {
  readonly fc1: Linear;
  readonly fc2: Linear; // to both slopes and shifts: slope, shift, slope, shift of C values each

  constructor({ width, reduction = 4 }: { width: number; reduction?: number }) {
    const hidden = Math.max(1, Math.floor(width / reduction));
    this.fc1 = new Linear({ inputs: width, outputs: hidden, initialize: normal(width ** -0.5) });
    this.fc2 = new Linear({ inputs: hidden, outputs: 4 * width, initialize: normal(0.01) });
  }

  /** @param x  [B, N, C].  @returns  as `x` */
  forward(x: Tensor): Tensor {
    const width = x.shape[2];
    const raw = hardSigmoid(this.fc2.forward(relu(this.fc1.forward(mean(x, 1, true))))); // [B, 1, 4C]
    const [slope1, shift1, slope2, shift2] = split(raw, 2, [width, width, width, width]) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const first = add(mul(x, mul(slope1, 2)), add(shift1, -0.5)); // 1 + 2(slope − ½)
    const second = add(mul(x, add(mul(slope2, 2), -1)), add(shift2, -0.5));
    return maximum(first, second);
  }
}
