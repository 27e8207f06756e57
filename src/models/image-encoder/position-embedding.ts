import { ShapeError } from "../../core/errors.ts";

/**
 * How a library brings position embeddings to another resolution; PyTorch's `interpolate(mode="bicubic")` in either case.
 * "plain": nothing is blurred, as the transformers library does. "antialiased": the kernel is as wide as the reduction, and
 * another one, as open_clip does.
 */
export type PositionResampling = "plain" | "antialiased";

/** The coefficient of PyTorch's cubic convolutions. Keys, IEEE Trans. ASSP 29(6), 1981. */
const sharpness = { plain: -0.75, antialiased: -0.5 } as const;

/**
 * A square map of position embeddings at another resolution: cubic convolution between pixel centres.
 *
 * @param data  [side², width], row-major
 * @returns     [newSide², width]
 */
export function resizePositionEmbedding(
  data: Float32Array,
  width: number,
  newSide: number,
  resampling: PositionResampling = "plain",
): Float32Array {
  const side = Math.sqrt(data.length / width);
  if (!Number.isInteger(side) || !Number.isInteger(newSide) || newSide < 1) {
    const got = `${data.length / width} positions and a side of ${newSide}`;
    throw new ShapeError(`resizePositionEmbedding: both maps must be square, got ${got}`);
  }
  const taps = Array.from({ length: newSide }, (_, i) =>
    (resampling === "plain" ? tapsAt : wideTapsAt)(i, side, newSide),
  );
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

type Tap = [from: number, weight: number];

/** The four places of the old axis, clamped to it, that a place of the new one is mixed from, and their weights. */
function tapsAt(place: number, side: number, newSide: number): Tap[] {
  const centre = ((place + 0.5) * side) / newSide - 0.5;
  const first = Math.floor(centre) - 1;
  return [0, 1, 2, 3].map((tap) => {
    const from = Math.min(Math.max(first + tap, 0), side - 1);
    return [from, cubic(Math.abs(centre - first - tap), sharpness.plain)];
  });
}

/** The places within the kernel's reach, cut off at the edges, and their weights, which add up to one. */
function wideTapsAt(place: number, side: number, newSide: number): Tap[] {
  const scale = side / newSide;
  const widening = Math.max(scale, 1);
  const centre = (place + 0.5) * scale;
  const first = Math.max(Math.trunc(centre - 2 * widening + 0.5), 0);
  const end = Math.min(Math.trunc(centre + 2 * widening + 0.5), side);
  const taps = Array.from({ length: end - first }, (_, tap): Tap => {
    const distance = Math.abs((first + tap + 0.5 - centre) / widening);
    return [first + tap, cubic(distance, sharpness.antialiased)];
  });
  const total = taps.reduce((sum, [, weight]) => sum + weight, 0);
  return taps.map(([from, weight]) => [from, weight / total]);
}

function cubic(d: number, a: number): number {
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}
