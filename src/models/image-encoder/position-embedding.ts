import { ShapeError } from "../../core/errors.ts";

/** The coefficient of PyTorch's cubic convolution. Keys, IEEE Trans. ASSP 29(6), 1981. */
const sharpness = -0.75;

/**
 * A square map of position embeddings at another resolution: cubic convolution between pixel centres, edges repeated and
 * nothing blurred, as PyTorch's `interpolate(mode="bicubic", align_corners=False)` and so the transformers library do.
 *
 * @param data  [side², width], row-major
 * @returns     [newSide², width]
 */
export function resizePositionEmbedding(data: Float32Array, width: number, newSide: number): Float32Array {
  const side = Math.sqrt(data.length / width);
  if (!Number.isInteger(side) || !Number.isInteger(newSide) || newSide < 1) {
    const got = `${data.length / width} positions and a side of ${newSide}`;
    throw new ShapeError(`resizePositionEmbedding: both maps must be square, got ${got}`);
  }
  const taps = Array.from({ length: newSide }, (_, i) => tapsAt(i, side, newSide));
  const resized = new Float32Array(newSide * newSide * width);
  for (const [row, rowTaps] of taps.entries()) {
    for (const [column, columnTaps] of taps.entries()) {
      const to = (row * newSide + column) * width;
      for (const [fromRow, rowWeight] of rowTaps) {
        for (const [fromColumn, columnWeight] of columnTaps) {
          const from = (fromRow * side + fromColumn) * width;
          for (let i = 0; i < width; i++) resized[to + i] += rowWeight * columnWeight * data[from + i];
        }
      }
    }
  }
  return resized;
}

/** The four places of the old axis, clamped to it, that a place of the new one is mixed from, and their weights. */
function tapsAt(place: number, side: number, newSide: number): [from: number, weight: number][] {
  const centre = ((place + 0.5) * side) / newSide - 0.5;
  const first = Math.floor(centre) - 1;
  return [0, 1, 2, 3].map((tap) => {
    const from = Math.min(Math.max(first + tap, 0), side - 1);
    return [from, cubic(Math.abs(centre - first - tap))];
  });
}

function cubic(distance: number): number {
  const [a, d] = [sharpness, distance];
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}
