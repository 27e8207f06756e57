import { describe, expect, it } from "vitest";
import { evaluate, randomData } from "../../test/support/evaluate.ts";
import { input } from "../graph/tensor.ts";
import { orthogonalization } from "./orthogonalization.ts";

async function orthogonalized(data: Float32Array, rows: number, columns: number): Promise<Float32Array> {
  const { y } = await evaluate({ y: orthogonalization(input("x", [rows, columns])) }, { x: data });
  return y;
}

function unitNorm(data: Float32Array): Float32Array {
  const norm = Math.hypot(...data);
  return data.map((value) => value / norm);
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
}

/** The columns of I − 2vvᵀ: an orthonormal basis. */
function basis(size: number, seed: string): number[][] {
  const v = unitNorm(randomData([size], seed));
  return Array.from({ length: size }, (_, i) => Array.from(v, (value, k) => (i === k ? 1 : 0) - 2 * v[i] * value));
}

describe("orthogonalization", () => {
  it("lifts a wide range of singular values to near 1 and keeps the singular vectors", async () => {
    const [rows, columns] = [4, 6];
    const [left, right] = [basis(rows, "left"), basis(columns, "right")];
    const singular = [0.9, 0.3, 0.1, 0.02];
    const x = Float32Array.from({ length: rows * columns }, (_, at) => {
      const [i, k] = [Math.floor(at / columns), at % columns];
      return singular.reduce((sum, value, s) => sum + value * left[s][i] * right[s][k], 0);
    });
    const y = await orthogonalized(x, rows, columns);
    // Uᵀ·Y·V is diagonal, with the new singular values on it.
    for (const [s, u] of left.entries()) {
      for (const [t, v] of right.entries()) {
        let value = 0;
        for (let i = 0; i < rows; i++) for (let k = 0; k < columns; k++) value += u[i] * y[i * columns + k] * v[k];
        if (s === t) expect(Math.abs(value - 1), `singular value ${s}: ${value}`).toBeLessThan(0.35);
        else expect(Math.abs(value)).toBeLessThan(1e-4);
      }
    }
  });

  it("makes the rows of a wide matrix nearly orthonormal", async () => {
    const [rows, columns] = [5, 16];
    const y = await orthogonalized(unitNorm(randomData([rows, columns], "wide")), rows, columns);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < rows; j++) {
        let product = 0;
        for (let k = 0; k < columns; k++) product += y[i * columns + k] * y[j * columns + k];
        if (i === j) expect(Math.abs(Math.sqrt(product) - 1)).toBeLessThan(0.35);
        else expect(Math.abs(product)).toBeLessThan(0.35);
      }
    }
  });

  it("treats a tall matrix as the transpose of a wide one", async () => {
    const wide = unitNorm(randomData([3, 8], "transpose"));
    const fromWide = transposed(await orthogonalized(wide, 3, 8), 3, 8);
    const fromTall = await orthogonalized(transposed(wide, 3, 8), 8, 3);
    for (const [i, value] of fromTall.entries()) expect(value).toBeCloseTo(fromWide[i], 5);
  });

  it("leaves a matrix of zeros alone", async () => {
    expect(Array.from(await orthogonalized(new Float32Array(6), 2, 3))).toEqual([0, 0, 0, 0, 0, 0]);
  });
});
