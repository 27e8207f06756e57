import { ShapeError } from "../core/errors.ts";
import { add, expand, mul, reshape } from "./broadcasting.ts";
import { cast, clamp, lessThan, sub } from "./elementwise.ts";
import { mean } from "./reductions.ts";
import { sampleBilinear } from "./sampling.ts";
import { concat, slice } from "./shaping.ts";
import { constant, formatShape, type Tensor } from "./tensor.ts";

export interface RegionGrid {
  readonly stride: number; // pixels of the boxes from one element of the map to the next
  readonly bins: number; // on a side of the result
  readonly samples: number; // on a side of a bin
}

/**
 * The features of boxes as small maps of one size: bilinear samples on a grid within each bin, averaged. RoIAlign of
 * Mask R-CNN, He et al., arXiv:1703.06870, with pixel centres (torchvision's `aligned`). Gradients flow to the map, and
 * to the boxes too, which torchvision's lack.
 *
 * @param x      [B, H, W, C]
 * @param boxes  [B, R, 4] xyxy, pixels
 * @returns      [B, R, bins, bins, C]
 */
export function regionAlign(x: Tensor, boxes: Tensor, { stride, bins, samples }: RegionGrid): Tensor {
  const [batch, height, width, channels] = x.shape;
  const [, regions] = boxes.shape;
  if (x.rank !== 4 || formatShape(boxes) !== formatShape([batch, regions, 4])) {
    throw new ShapeError(
      `regionAlign: x must be [B, H, W, C] and boxes [B, R, 4], got ${formatShape(x)} and ${formatShape(boxes)}`,
    );
  }
  const side = bins * samples;
  const columns = samplePlaces(boxes, { axis: 0, side, stride, size: width }); // each [B, R, side]
  const rows = samplePlaces(boxes, { axis: 1, side, stride, size: height });
  const shape = [batch, regions, side, side];
  const spread = (values: Tensor, axis: 2 | 3): Tensor =>
    expand(reshape(values, axis === 3 ? [batch, regions, 1, side] : [batch, regions, side, 1]), shape);
  const places = concat(
    [spread(columns.places, 3), spread(rows.places, 2)].map((part) => reshape(part, [batch, -1, 1])),
    2,
  );
  const factors = reshape(mul(spread(columns.inside, 3), spread(rows.inside, 2)), [batch, -1]);
  const sampled = sampleBilinear(x, places, factors);
  return mean(reshape(sampled, [batch, regions, bins, samples, bins, samples, channels]), [3, 5]);
}

interface SampledAxis {
  axis: 0 | 1; // columns or rows
  side: number;
  stride: number;
  size: number; // of the map along the axis
}

/** Places along one axis, at most half a pixel of which lies beyond the map's centres, and whether each counts. */
function samplePlaces(boxes: Tensor, { axis, side, stride, size }: SampledAxis): { places: Tensor; inside: Tensor } {
  const low = slice(boxes, 2, axis, axis + 1);
  const extent = sub(slice(boxes, 2, axis + 2, axis + 3), low);
  const fractions = constant(
    Float32Array.from({ length: side }, (_, i) => (i + 0.5) / side),
    [1, 1, side],
  );
  const places = add(mul(add(low, mul(extent, fractions)), 1 / stride), -0.5);
  const above = cast(lessThan(-1, places), "float32");
  const below = cast(lessThan(places, size), "float32");
  return { places: clamp(places, 0, size - 1), inside: mul(above, below) };
}
