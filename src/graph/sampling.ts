import { ShapeError } from "../core/errors.ts";
import { add, mul, reshape } from "./broadcasting.ts";
import { cast, clamp, lessThan, sub } from "./elementwise.ts";
import { gather } from "./indexing.ts";
import { matmul } from "./matrix.ts";
import { slice, split } from "./shaping.ts";
import { constant, formatShape, singleOperator, type Tensor } from "./tensor.ts";

/**
 * Resizes the last two axes by bilinear interpolation between pixel centres (not aligned corners, no antialiasing), as
 * two matrix products: the map is linear in the pixels, so its gradient is exact.
 *
 * @param x  [B, C, H, W]
 * @returns  [B, C, height, width]
 */
export function resizeBilinear(x: Tensor, height: number, width: number): Tensor {
  if (x.rank !== 4) throw new ShapeError(`resizeBilinear: x must be [B, C, H, W], got ${formatShape(x)}`);
  const columns = interpolationMatrix(x.shape[3], width);
  const rows = interpolationMatrix(x.shape[2], height);
  const wide = matmul(x, constant(columns, [width, x.shape[3]]), { transposeB: true });
  return matmul(constant(rows, [1, 1, height, x.shape[2]]), wide);
}

/**
 * As `resizeBilinear`, of maps whose channels are the last axis.
 *
 * @param x  [B, H, W, C]
 * @returns  [B, height, width, C]
 */
export function resizeMapBilinear(x: Tensor, height: number, width: number): Tensor {
  if (x.rank !== 4) throw new ShapeError(`resizeMapBilinear: x must be [B, H, W, C], got ${formatShape(x)}`);
  const [batch, fromHeight, fromWidth, channels] = x.shape;
  const rows = constant(interpolationMatrix(fromHeight, height), [1, height, fromHeight]);
  const columns = constant(interpolationMatrix(fromWidth, width), [1, 1, width, fromWidth]);
  const tall = matmul(rows, reshape(x, [batch, fromHeight, fromWidth * channels]));
  return matmul(columns, reshape(tall, [batch, height, fromWidth, channels]));
}

/** Row i holds the weights of the source elements that make up target element i; [to, from] flattened. */
function interpolationMatrix(from: number, to: number): Float32Array {
  const matrix = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const centre = Math.max(((i + 0.5) * from) / to - 0.5, 0);
    const low = Math.min(Math.floor(centre), from - 1);
    const high = Math.min(low + 1, from - 1);
    const fraction = centre - low;
    matrix[i * from + low] += 1 - fraction;
    matrix[i * from + high] += fraction;
  }
  return matrix;
}

/** ⌊x⌋; its gradient is nowhere wanted, so none flows. */
function floor(x: Tensor): Tensor {
  return singleOperator({ type: "Floor", inputs: [x], shape: x.shape, gradient: () => [] });
}

/**
 * Values at fractional places by bilinear interpolation, zero outside; gradients flow to the map, to the places and to
 * the factors. Deformable convolution is built on this (Dai et al., arXiv:1703.06211).
 *
 * @param x        [B, H, W, C]
 * @param places   [B, P, 2], (column, row) in pixels, 0 being the centre of the first pixel
 * @param factors  [B, P], multiply the values; at the price of a multiplication of the corners' shares alone
 * @returns        [B, P, C]
 */
export function sampleBilinear(x: Tensor, places: Tensor, factors?: Tensor): Tensor {
  const [batch, height, width, channels] = x.shape;
  if (x.rank !== 4 || places.rank !== 3 || places.shape[0] !== batch || places.shape[2] !== 2) {
    throw new ShapeError(
      `sampleBilinear: x must be [B, H, W, C] and places [B, P, 2], got ${formatShape(x)} and ${formatShape(places)}`,
    );
  }
  const count = places.shape[1];
  if (factors && (factors.rank !== 2 || factors.shape[0] !== batch || factors.shape[1] !== count)) {
    throw new ShapeError(`sampleBilinear: factors must be [${batch}, ${count}], got ${formatShape(factors)}`);
  }
  const [column, row] = [slice(places, 2, 0, 1), slice(places, 2, 1, 2)]; // each [B, P, 1]
  const [left, top] = [floor(column), floor(row)];
  // The four corners side by side, [B, P, 4]: a small graph, and short passes over what has no channels.
  const [cornerColumns, cornerRows] = [add(left, fourOf(0, 1, 0, 1)), add(top, fourOf(0, 0, 1, 1))];
  const inside = mul(within(cornerColumns, width), within(cornerRows, height));
  const acrossColumns = add(mul(sub(column, left), fourOf(-1, 1, -1, 1)), fourOf(1, 0, 1, 0));
  const acrossRows = add(mul(sub(row, top), fourOf(-1, -1, 1, 1)), fourOf(1, 1, 0, 0));
  const fractions = mul(mul(acrossColumns, acrossRows), inside);
  const shares = factors ? mul(fractions, reshape(factors, [batch, count, 1])) : fractions;

  const firstPixel = constant(
    Float32Array.from({ length: batch }, (_, b) => b * height * width),
    [batch, 1, 1],
  );
  const inImage = add(mul(clamp(cornerRows, 0, height - 1), width), clamp(cornerColumns, 0, width - 1));
  const indices = split(cast(add(inImage, firstPixel), "int32"), 2, [1, 1, 1, 1]);
  const pixels = reshape(x, [batch * height * width, channels]);
  const corners = split(shares, 2, [1, 1, 1, 1]).map((share, i) => {
    const values = gather(pixels, reshape(indices[i] as Tensor, [batch * count]));
    return mul(reshape(values, [batch, count, channels]), share);
  });
  return corners.reduce(add);
}

const fourOf = (...values: [number, number, number, number]): Tensor => constant(Float32Array.from(values), [4]);

/** 1 where 0 ≤ x < size, else 0. */
function within(x: Tensor, size: number): Tensor {
  return mul(cast(lessThan(-0.5, x), "float32"), cast(lessThan(x, size - 0.5), "float32"));
}
