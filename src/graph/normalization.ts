import { ShapeError } from "../core/errors.ts";
import { add, expand, mul, reshape, sum } from "./broadcasting.ts";
import { sub } from "./elementwise.ts";
import { matmul } from "./matrix.ts";
import { formatShape, operator, scalar, type Tensor } from "./tensor.ts";

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
  if (x.rank < 3 || channels % groups !== 0) {
    throw new ShapeError(
      `groupNorm: groups must divide the channels of [B, C, ...], got ${groups} and ${formatShape(x)}`,
    );
  }
  if (weight.rank !== 1 || weight.size !== channels || bias.rank !== 1 || bias.size !== channels) {
    throw new ShapeError(
      `groupNorm: weight and bias must be [${channels}] for x ${formatShape(x)}, got ${formatShape(weight)} and ${formatShape(bias)}`,
    );
  }
  const perGroup = x.size / (batch * groups);
  const ones = expand(scalar(1), [perGroup]);
  const zeros = expand(scalar(0), [perGroup]);
  const normal = reshape(layerNorm(reshape(x, [batch, groups, perGroup]), ones, zeros, epsilon), x.shape);
  const perChannel = [channels, ...x.shape.slice(2).map(() => 1)];
  return add(mul(normal, reshape(weight, perChannel)), reshape(bias, perChannel));
}
