/**
 * Fits a relative position-bias table to another window by bicubic interpolation of each head's map of offsets, as
 * Swin does when the resolution changes. Offsets are compared by their pixel centres.
 *
 * @param table  [(2·from − 1)², heads]
 * @returns      [(2·to − 1)², heads]
 */
export function resizePositionBias(table: Float32Array, from: number, to: number): Float32Array {
  const source = 2 * from - 1;
  const target = 2 * to - 1;
  if (source === target) return table.slice();
  const heads = table.length / (source * source);
  const taps = Array.from({ length: target }, (_, i) => cubicTaps(((i + 0.5) * source) / target - 0.5, source));
  const rows = new Float64Array(target * source * heads); // rows resized, columns not yet
  for (const [r, row] of taps.entries()) {
    for (const [at, weight] of row) {
      for (let k = 0; k < source * heads; k++) rows[r * source * heads + k] += weight * table[at * source * heads + k];
    }
  }
  const result = new Float32Array(target * target * heads);
  for (let r = 0; r < target; r++) {
    for (const [c, column] of taps.entries()) {
      for (let h = 0; h < heads; h++) {
        let value = 0;
        for (const [at, weight] of column) value += weight * rows[(r * source + at) * heads + h];
        result[(r * target + c) * heads + h] = value;
      }
    }
  }
  return result;
}

/** The four neighbours of a place and their weights by Keys' kernel with a = −0.75; the border repeats. */
function cubicTaps(place: number, size: number): [number, number][] {
  const low = Math.floor(place);
  return [-1, 0, 1, 2].map((offset) => {
    const at = low + offset;
    return [Math.min(Math.max(at, 0), size - 1), cubicWeight(Math.abs(place - at))];
  });
}

function cubicWeight(distance: number): number {
  const a = -0.75;
  if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a;
  return 0;
}
