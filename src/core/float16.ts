/** The largest finite IEEE 754 half. */
export const FLOAT16_MAX = 65504;

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);
let decodeTable: Float32Array | undefined;

/** The float32 value of every half bit pattern, [65536]; built at the first use, 256 KiB. */
function halfValues(): Float32Array {
  if (decodeTable) return decodeTable;
  const table = new Float32Array(65536);
  const bits = new Uint32Array(table.buffer); // written as bits, so that NaN payloads survive
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) table[half] = (sign ? -1 : 1) * fraction * 2 ** -24;
    else if (exponent === 31) bits[half] = sign | 0x7f800000 | (fraction << 13);
    else bits[half] = sign | ((exponent + 112) << 23) | (fraction << 13);
  }
  decodeTable = table;
  return table;
}

/**
 * Halves to float32, exactly.
 *
 * @param halves  bit patterns
 * @param target  same length; allocated if it is left out
 */
export function decodeFloat16(halves: Uint16Array, target = new Float32Array(halves.length)): Float32Array {
  const table = halfValues();
  for (let i = 0; i < halves.length; i++) target[i] = table[halves[i]];
  return target;
}

/**
 * Float32 to halves, rounded to nearest, ties to even; over ±65519.99 becomes ±infinity.
 *
 * @param target  same length; allocated if it is left out
 */
export function encodeFloat16(values: Float32Array, target = new Uint16Array(values.length)): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) target[i] = halfBits(bits[i]);
  return target;
}

/** One float32 bit pattern to the nearest half bit pattern. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return magnitude > 0x7f800000 ? sign | 0x7e00 : sign | 0x7c00; // NaN, or 2¹⁶ and over
  if (magnitude >= 0x38800000) {
    // Normal: drop 13 fraction bits. Adding half a unit less one, plus the lowest kept bit, rounds ties to even.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  // Subnormal: adding ½ shifts the unit of 2⁻²⁴ to the last bit of a float32, which rounds ties to even by itself.
  scratchBits[0] = magnitude;
  scratchFloat[0] += 0.5;
  return sign | (scratchBits[0] - 0x3f000000);
}

/** Bfloat16 bit patterns to float32, exactly. */
export function decodeBfloat16(patterns: Uint16Array, target = new Float32Array(patterns.length)): Float32Array {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < patterns.length; i++) bits[i] = patterns[i] << 16;
  return target;
}
