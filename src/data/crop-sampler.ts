/** A crop in source pixels, edges not rounded; it may reach past the image, where the edge repeats. */
export interface CropBox {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The source samples that make each target position along one axis. */
interface AxisTaps {
  taps: number; // samples a target position, the same for all
  indices: Int32Array; // [size, taps], source positions, clamped to the image
  weights: Float32Array; // [size, taps], each row sums to 1
}

/** Scratch buffers and inner loops of {@link augmentInto}: a crop resampled to a square by two separable passes. */
export class CropSampler {
  readonly #horizontal: AxisTaps = { taps: 0, indices: new Int32Array(0), weights: new Float32Array(0) };
  readonly #vertical: AxisTaps = { taps: 0, indices: new Int32Array(0), weights: new Float32Array(0) };
  #rows = new Float32Array(0); // [source rows, size, 3], after the horizontal pass
  #pixels = new Float32Array(0); // [size, size, 3]

  /** The crop as `size`×`size` RGB floats in 0 … 255, [size, size, 3]; the buffer is reused by the next call. */
  sample(
    source: Uint8Array,
    sourceOffset: number,
    sourceHeight: number,
    sourceWidth: number,
    box: CropBox,
    size: number,
    flipped: boolean,
  ): Float32Array {
    setTaps(this.#horizontal, box.left, box.width, sourceWidth, size, flipped);
    setTaps(this.#vertical, box.top, box.height, sourceHeight, size, false);
    const { indices, taps } = this.#vertical;
    const firstRow = indices[0];
    const lastRow = indices[size * taps - 1];
    const needed = (lastRow - firstRow + 1) * size * 3;
    if (this.#rows.length < needed) this.#rows = new Float32Array(needed);
    if (this.#pixels.length < size * size * 3) this.#pixels = new Float32Array(size * size * 3);
    const rowBytes = sourceWidth * 3;
    for (let row = firstRow; row <= lastRow; row++) {
      const target = (row - firstRow) * size * 3;
      resampleRow(source, sourceOffset + row * rowBytes, this.#rows, target, this.#horizontal, size);
    }
    combineRows(this.#rows, firstRow, this.#pixels, this.#vertical, size);
    return this.#pixels;
  }
}

/** Fills the taps of one axis: a triangle of half-width max(1, source pixels a target pixel) around each centre. */
function setTaps(
  axis: AxisTaps,
  start: number,
  extent: number,
  sourceSize: number,
  size: number,
  reversed: boolean,
): void {
  const step = extent / size;
  const radius = Math.max(1, step);
  const taps = Math.ceil(2 * radius - 1e-9); // an interval of 2·radius, open at both ends, holds no more pixel centres
  if (axis.indices.length < size * taps) {
    axis.indices = new Int32Array(size * taps);
    axis.weights = new Float32Array(size * taps);
  }
  axis.taps = taps;
  const { indices, weights } = axis;
  for (let i = 0; i < size; i++) {
    const centre = start + (i + 0.5) * step - 0.5; // in units of source pixel centres
    const first = Math.floor(centre - radius) + 1;
    const row = (reversed ? size - 1 - i : i) * taps;
    let total = 0;
    for (let tap = 0; tap < taps; tap++) {
      const weight = Math.max(0, 1 - Math.abs(first + tap - centre) / radius);
      weights[row + tap] = weight;
      total += weight;
    }
    for (let tap = 0; tap < taps; tap++) {
      const index = first + tap;
      indices[row + tap] = index < 0 ? 0 : index >= sourceSize ? sourceSize - 1 : index;
      weights[row + tap] /= total;
    }
  }
}

function resampleRow(
  source: Uint8Array,
  sourceOffset: number,
  target: Float32Array,
  targetOffset: number,
  axis: AxisTaps,
  size: number,
): void {
  const { indices, weights, taps } = axis;
  let out = targetOffset;
  if (taps === 2) {
    for (let x = 0; x < size; x++) {
      const near = sourceOffset + indices[2 * x] * 3;
      const far = sourceOffset + indices[2 * x + 1] * 3;
      const nearWeight = weights[2 * x];
      const farWeight = weights[2 * x + 1];
      target[out++] = nearWeight * source[near] + farWeight * source[far];
      target[out++] = nearWeight * source[near + 1] + farWeight * source[far + 1];
      target[out++] = nearWeight * source[near + 2] + farWeight * source[far + 2];
    }
    return;
  }
  for (let x = 0; x < size; x++) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let k = x * taps; k < (x + 1) * taps; k++) {
      const at = sourceOffset + indices[k] * 3;
      const weight = weights[k];
      red += weight * source[at];
      green += weight * source[at + 1];
      blue += weight * source[at + 2];
    }
    target[out++] = red;
    target[out++] = green;
    target[out++] = blue;
  }
}

function combineRows(rows: Float32Array, firstRow: number, target: Float32Array, axis: AxisTaps, size: number): void {
  const { indices, weights, taps } = axis;
  const rowLength = size * 3;
  for (let y = 0; y < size; y++) {
    const out = y * rowLength;
    for (let tap = 0; tap < taps; tap += 2) {
      // Two taps a pass: the first pass stores, later ones add. An odd last tap is paired with weight 0.
      const k = y * taps + tap;
      const paired = tap + 1 < taps;
      const near = (indices[k] - firstRow) * rowLength;
      const far = paired ? (indices[k + 1] - firstRow) * rowLength : near;
      const nearWeight = weights[k];
      const farWeight = paired ? weights[k + 1] : 0;
      if (tap === 0) {
        for (let i = 0; i < rowLength; i++) target[out + i] = nearWeight * rows[near + i] + farWeight * rows[far + i];
      } else {
        for (let i = 0; i < rowLength; i++) target[out + i] += nearWeight * rows[near + i] + farWeight * rows[far + i];
      }
    }
  }
}
