/** A linear layer's weight in whole numbers, as ONNX Runtime's quantized matrix products take it. */
export interface QuantizedWeight {
  readonly values: Int8Array; // [in, out]
  readonly scales: Float32Array; // [out], what a unit of each output's weights is worth
}

/** The greatest magnitude of an int8 weight; −128 is left out, so that the range is even. */
const largest = 127;

/**
 * Rounds a weight to signed bytes, symmetric about zero, with a scale of its own for each output: rows differ much in
 * size, and one scale for all would leave the small ones a few steps. Jacob et al., arXiv:1712.05877.
 *
 * @param weight  [out, in]
 * @returns       transposed, [in, out]
 */
export function quantizeWeight(weight: Float32Array, outputs: number): QuantizedWeight {
  const inputs = weight.length / outputs;
  const values = new Int8Array(weight.length);
  const scales = new Float32Array(outputs);
  for (let o = 0; o < outputs; o++) {
    const row = weight.subarray(o * inputs, (o + 1) * inputs);
    let magnitude = 0;
    for (let i = 0; i < inputs; i++) magnitude = Math.max(magnitude, Math.abs(row[i]));
    const scale = magnitude / largest || 1; // a row of zeros stays zeros
    scales[o] = scale;
    for (let i = 0; i < inputs; i++) values[i * outputs + o] = roundHalfToEven(row[i] / scale);
  }
  return { values, scales };
}

function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
