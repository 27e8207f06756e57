import { ShapeError } from "../core/errors.ts";
import { add, reshape } from "./broadcasting.ts";
import { gradientsOfMany } from "./gradients.ts";
import { linear } from "./matrix.ts";
import { sampleBilinear } from "./sampling.ts";
import { concat, slice, transpose } from "./shaping.ts";
import { alias, constant, formatShape, singleOperator, type Tensor } from "./tensor.ts";

/** Where each tap of a deformable kernel looks, and how much it counts. */
export interface Deformation {
  readonly offsets: Tensor; // [B, P, 2·kernel²], (row, column) in pixels for each tap, added to where the tap stands
  readonly factors: Tensor; // [B, P, kernel²]
}

/** The map that a deformable kernel slides over. */
export interface DeformableGeometry {
  readonly height: number;
  readonly width: number;
  readonly stride: number;
  readonly padding: number; // zeros on either side
}

/**
 * Modulated deformable convolution of maps held as tokens. Zhu et al., arXiv:1811.11168.
 *
 * The forward pass is ONNX's DeformConv, about twice as fast as gathering the taps; it has no gradient, so the backward
 * pass gathers them (`sampleBilinear`) and differentiates that. Both give the same values.
 *
 * @param x       [B, height·width, C], row-major
 * @param weight  [K, C, kernel, kernel]
 * @param bias    [K], or absent
 * @returns       [B, P, K], P places row-major, each space axis ⌊(size + 2·padding − kernel) / stride⌋ + 1
 */
export function deformableConvolution(
  x: Tensor,
  deformation: Deformation,
  weight: Tensor,
  bias: Tensor | undefined,
  geometry: DeformableGeometry,
): Tensor {
  const all = { ...geometry, ...checkedPlaces(x, deformation, weight, geometry) };
  if (bias && (bias.rank !== 1 || bias.shape[0] !== weight.shape[0])) {
    throw new ShapeError(`deformableConvolution: bias must be [${weight.shape[0]}], got ${formatShape(bias)}`);
  }
  const y = asOperator(x, deformation, weight, bias, all);
  const inputs = [x, deformation.offsets, deformation.factors, weight, ...(bias ? [bias] : [])];
  const [convolved] = alias([y], inputs, ([g]) => (g ? gradientsByPicture(inputs, g, all) : []));
  return convolved as Tensor;
}

interface Places {
  rows: number;
  columns: number;
}

/**
 * Gradients of the sum of ⟨y, g⟩ by all inputs, one picture after the other: gathered taps are nine times as large as the
 * map and are passed over a dozen times, and those of one picture are more likely to stay in the processor's cache.
 */
function gradientsByPicture(inputs: readonly Tensor[], g: Tensor, geometry: DeformableGeometry & Places): Tensor[] {
  // Offsets are often made of x: the same values without their history, so that each gradient is a partial one.
  const leaf = (tensor: Tensor): Tensor => alias([tensor], [], () => [])[0] as Tensor;
  const [x, offsets, factors, ...shared] = inputs as [Tensor, Tensor, Tensor, Tensor];
  const [weight, bias] = shared.map(leaf) as [Tensor, Tensor | undefined];
  const found = Array.from({ length: g.shape[0] }, (_, picture) => {
    const ownOf = (tensor: Tensor): Tensor => leaf(slice(tensor, 0, picture, picture + 1));
    const [ownX, ownOffsets, ownFactors] = [x, offsets, factors].map(ownOf) as [Tensor, Tensor, Tensor];
    const y = asGathers(ownX, { offsets: ownOffsets, factors: ownFactors }, weight, bias, geometry);
    const leaves = [ownX, ownOffsets, ownFactors, weight, ...(bias ? [bias] : [])];
    return gradientsOfMany([[y, ownOf(g)]], leaves) as Tensor[];
  });
  return inputs.map((_, at) => {
    const parts = found.map((ofPicture) => ofPicture[at] as Tensor);
    return at < 3 ? concat(parts, 0) : parts.reduce(add);
  });
}

function checkedPlaces(x: Tensor, deformation: Deformation, weight: Tensor, geometry: DeformableGeometry): Places {
  const { height, width, stride, padding } = geometry;
  const [, channels, kernel] = weight.shape;
  if (weight.rank !== 4 || weight.shape[3] !== kernel) {
    throw new ShapeError(`deformableConvolution: weight must be [K, C, kernel, kernel], got ${formatShape(weight)}`);
  }
  if (x.rank !== 3 || x.shape[1] !== height * width || x.shape[2] !== channels) {
    throw new ShapeError(
      `deformableConvolution: x must be [B, ${height}·${width}, ${channels}], got ${formatShape(x)}`,
    );
  }
  const along = (size: number): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const [rows, columns] = [along(height), along(width)];
  const area = kernel * kernel;
  const fits = (given: Tensor, values: number): boolean =>
    formatShape(given) === formatShape([x.shape[0], rows * columns, values]);
  const { offsets, factors } = deformation;
  if (rows < 1 || columns < 1 || !fits(offsets, 2 * area) || !fits(factors, area)) {
    throw new ShapeError(
      `deformableConvolution: offsets and factors must be [B, ${rows}·${columns}, ${2 * area}] and [..., ${area}], got ${formatShape(offsets)} and ${formatShape(factors)}`,
    );
  }
  return { rows, columns };
}

function asOperator(
  x: Tensor,
  { offsets, factors }: Deformation,
  weight: Tensor,
  bias: Tensor | undefined,
  { height, width, stride, padding, rows, columns }: DeformableGeometry & Places,
): Tensor {
  const [batch] = x.shape;
  const [outputs, , kernel] = weight.shape;
  const toPlanes = (tokens: Tensor, ...space: number[]): Tensor =>
    reshape(transpose(tokens, [0, 2, 1]), [batch, tokens.shape[2], ...space]);
  const y = singleOperator({
    type: "DeformConv",
    inputs: [
      toPlanes(x, height, width),
      weight,
      toPlanes(offsets, rows, columns),
      bias,
      toPlanes(factors, rows, columns),
    ],
    attributes: {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [1, 1],
      group: 1,
      offset_group: 1,
    },
    shape: [batch, outputs, rows, columns],
  });
  return transpose(reshape(y, [batch, outputs, rows * columns]), [0, 2, 1]);
}

function asGathers(
  x: Tensor,
  { offsets, factors }: Deformation,
  weight: Tensor,
  bias: Tensor | undefined,
  { height, width, stride, padding, rows, columns }: DeformableGeometry & Places,
): Tensor {
  const [batch] = x.shape;
  const [outputs, channels, kernel] = weight.shape;
  const area = kernel * kernel;
  const count = rows * columns;
  const standing = new Float32Array(count * area * 2);
  for (let at = 0; at < count * area; at++) {
    const [place, tap] = [Math.floor(at / area), at % area];
    standing[2 * at] = (place % columns) * stride - padding + (tap % kernel);
    standing[2 * at + 1] = Math.floor(place / columns) * stride - padding + Math.floor(tap / kernel);
  }
  const rowsFirst = reshape(offsets, [batch, count * area, 2]);
  const columnsFirst = concat([slice(rowsFirst, 2, 1, 2), slice(rowsFirst, 2, 0, 1)], 2);
  const places = add(columnsFirst, constant(standing, [1, count * area, 2]));
  const map = reshape(x, [batch, height, width, channels]);
  const taps = sampleBilinear(map, places, reshape(factors, [batch, count * area]));
  const byTap = transpose(reshape(weight, [outputs, channels, area]), [0, 2, 1]); // [K, kernel², C]
  return linear(reshape(taps, [batch, count, area * channels]), reshape(byTap, [outputs, area * channels]), bias);
}
