/**
 * How a loaded model computes: `float32`, or `int8` with the weights of its linear layers and what goes into them in
 * bytes, which is faster and close, but not equal.
 */
export type Precision = "float32" | "int8";

export const precisions: readonly Precision[] = ["float32", "int8"];
