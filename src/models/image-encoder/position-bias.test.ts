import { describe, expect, it } from "vitest";
import { readFixture, relativeError } from "../../../test/parity/read-fixture.ts";
import { randomData } from "../../../test/support/evaluate.ts";
import { resizePositionBias } from "./position-bias.ts";

/** Planes [heads, side, side] as a table [side², heads]. */
function tableOf(planes: Float32Array, heads: number): Float32Array {
  const offsets = planes.length / heads;
  return planes.map((_, i) => planes[(i % heads) * offsets + Math.floor(i / heads)]);
}

describe("resizePositionBias", () => {
  it.each([
    { name: "resize-bicubic-position-bias", from: 7, to: 12, heads: 1 }, // 13 to 23 offsets
    { name: "resize-bicubic-up", from: 3, to: 5, heads: 2 }, // 5 to 9
  ])("is PyTorch's bicubic interpolation, window $from to $to", async ({ name, from, to, heads }) => {
    const fixture = await readFixture("operators");
    const table = tableOf(fixture.tensor(`${name}/input`).data, heads);
    const expected = tableOf(fixture.tensor(`${name}/output`).data, heads);
    expect(relativeError(resizePositionBias(table, from, to), expected)).toBeLessThan(1e-6);
  });

  it("copies the table of an equal window", () => {
    const table = randomData([169, 3], "table");
    const same = resizePositionBias(table, 7, 7);
    expect(same).toEqual(table);
    expect(same).not.toBe(table);
  });

  it("keeps a constant and a table's symmetry, up and down", () => {
    for (const [from, to] of [
      [7, 12],
      [12, 7],
      [2, 16],
    ]) {
      const side = 2 * to - 1;
      const flat = resizePositionBias(new Float32Array((2 * from - 1) ** 2).fill(0.25), from, to);
      expect(flat).toHaveLength(side * side);
      expect(flat.every((value) => Math.abs(value - 0.25) < 1e-6)).toBe(true);
      const distance = Float32Array.from({ length: (2 * from - 1) ** 2 }, (_, i) =>
        Math.hypot(Math.floor(i / (2 * from - 1)) - from + 1, (i % (2 * from - 1)) - from + 1),
      );
      const resized = resizePositionBias(distance, from, to);
      expect(resized.every((value, i) => Math.abs(value - resized[resized.length - 1 - i]) < 1e-5)).toBe(true);
    }
  });
});
