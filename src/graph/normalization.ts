import { ShapeError } from "../core/errors.ts";
import { add, expand, mul, reshape, sum } from "./broadcasting.ts";
import { div, sqrt, sub } from "./elementwise.ts";
import { matmul } from "./matrix.ts";
import { alias, constant, formatShape, operator, scalar, type Tensor } from "./tensor.ts";

/**
 * Layer normalisation over the last axis. Ba et al., arXiv:1607.06450.
 *
 * @param x        [..., C]
 * @param weight   [C]
 * @param bias     [C]
 * @param epsilon  added to the variance
 * @returns        [..., C]
 */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon = 1e-5): Tensor {
  const channels = x.shape[x.rank - 1];
  if (weight.rank !== 1 || weight.shape[0] !== channels || bias.rank !== 1 || bias.shape[0] !== channels) {
    throw new ShapeError(
      `layerNorm: weight and bias must be [${channels}] for x ${formatShape(x)}, got ${formatShape(weight)} and ${formatShape(bias)}`,
    );
  }
  const statistics = [...x.shape.slice(0, -1), 1];
  const outputs: Tensor[] = operator({
    type: "LayerNormalization",
    inputs: [x, weight, bias],
    attributes: { axis: -1, epsilon: { float: epsilon } },
    outputs: [{ shape: x.shape }, { shape: statistics }, { shape: statistics }],
    gradient: ([g]) => {
      if (!g) return [];
      const [, average, inverseDeviation] = outputs as [Tensor, Tensor, Tensor];
      const rows = (t: Tensor): Tensor => reshape(t, [-1, t.shape[t.rank - 1]]);
      const gradient = rows(g);
      const scale = rows(inverseDeviation);
      const normal = mul(sub(rows(x), rows(average)), scale);
      const alongNormal = mul(gradient, normal);
      // Means over a row as matrix–vector products: they read once and write nothing of the size of x.
      const share = reshape(mul(weight, 1 / channels), [channels, 1]);
      const offset = matmul(gradient, share); // mean of the gradient with respect to the normal
      const projected = matmul(alongNormal, share);
      const centred = sub(sub(mul(gradient, weight), offset), mul(normal, projected));
      return [reshape(mul(centred, scale), x.shape), sum(alongNormal, 0), sum(gradient, 0)];
    },
  });
  return outputs[0] as Tensor;
}

/**
 * Group normalisation: mean and variance over space and over the channels of a group. Wu and He, arXiv:1803.08494.
 *
 * @param x       [B, C, ...space]
 * @param weight  [C]
 * @param bias    [C]
 * @returns       as `x`
 */
export function groupNorm(x: Tensor, groups: number, weight: Tensor, bias: Tensor, epsilon = 1e-5): Tensor {
  const [batch, channels] = x.shape;
  checkGroups("groupNorm", x, { channels, groups, weight, bias });
  const perGroup = x.size / (batch * groups);
  const ones = expand(scalar(1), [perGroup]);
  const zeros = expand(scalar(0), [perGroup]);
  const normal = reshape(layerNorm(reshape(x, [batch, groups, perGroup]), ones, zeros, epsilon), x.shape);
  const perChannel = [channels, ...x.shape.slice(2).map(() => 1)];
  return add(mul(normal, reshape(weight, perChannel)), reshape(bias, perChannel));
}

/**
 * Group normalisation of maps held as tokens, without moving the channels: sums over tokens and channels are products
 * with ones. Wu and He, arXiv:1803.08494.
 *
 * @param x       [B, N, C]
 * @param weight  [C]
 * @param bias    [C]
 * @returns       [B, N, C]
 */
export function groupNormTokens(x: Tensor, groups: number, weight: Tensor, bias: Tensor, epsilon = 1e-5): Tensor {
  const [, tokens, channels] = x.shape;
  checkGroups("groupNormTokens", x, { channels, groups, weight, bias });
  const ones = constant(new Float32Array(tokens).fill(1), [1, 1, tokens]);
  const shares = constant(groupShares(channels, groups, tokens), [1, channels, channels]);
  const total = (map: Tensor): Tensor => matmul(ones, map); // [B, 1, C]
  const groupMean = (totals: Tensor): Tensor => matmul(totals, shares); // of its group for each channel
  const centred = sub(x, groupMean(total(x)));
  const inverse = div(1, sqrt(add(groupMean(total(mul(centred, centred))), epsilon)));
  const scale = mul(inverse, weight);
  const y = add(mul(centred, scale), bias);
  const [normalized] = alias([y], [x, weight, bias], ([g]) => {
    if (!g) return [];
    const toBias = total(g);
    const alongNormal = mul(total(mul(g, centred)), inverse); // Σ gradient · normal
    const offset = mul(groupMean(mul(toBias, weight)), inverse);
    const slope = mul(groupMean(mul(alongNormal, weight)), mul(inverse, inverse));
    const toX = sub(sub(mul(g, scale), mul(centred, slope)), offset);
    return [toX, reshape(sum(alongNormal, 0), [channels]), reshape(sum(toBias, 0), [channels])];
  });
  return normalized as Tensor;
}

/** [C, C], 1 / (elements of a group) between channels of one group, else 0. */
function groupShares(channels: number, groups: number, tokens: number): Float32Array {
  const width = channels / groups;
  return Float32Array.from({ length: channels * channels }, (_, i) => {
    const [row, column] = [Math.floor(i / channels), i % channels];
    return Math.floor(row / width) === Math.floor(column / width) ? 1 / (width * tokens) : 0;
  });
}

interface Groups {
  channels: number;
  groups: number;
  weight: Tensor;
  bias: Tensor;
}

function checkGroups(name: string, x: Tensor, { channels, groups, weight, bias }: Groups): void {
  if (x.rank < 3 || channels % groups !== 0) {
    throw new ShapeError(`${name}: groups must divide the channels, got ${groups} and ${formatShape(x)}`);
  }
  if (weight.rank !== 1 || weight.size !== channels || bias.rank !== 1 || bias.size !== channels) {
    throw new ShapeError(
      `${name}: weight and bias must be [${channels}] for x ${formatShape(x)}, got ${formatShape(weight)} and ${formatShape(bias)}`,
    );
  }
}
