import { describe, expect, it } from "vitest";
import { compile } from "../runtime/program.ts";
import { scatterAdd } from "./indexing.ts";
import { input } from "./tensor.ts";

const [places, width, rows] = [500, 64, 40_000];

describe("scatterAdd", () => {
  it("loses nothing of rows that go to the same place, however many threads there are", async () => {
    const indices = Int32Array.from({ length: rows }, (_, i) => (i * 7919) % places);
    const updates = Float32Array.from({ length: rows * width }, (_, i) => ((i * 31) % 17) - 8); // sums are exact
    const naive = new Float32Array(places * width);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < width; c++) naive[indices[row] * width + c] += updates[row * width + c];
    }
    const sums = scatterAdd([places, width], input("indices", [rows], "int32"), input("updates", [rows, width]));
    for (const threads of [1, 2, 4]) {
      const program = await compile({ outputs: { sums }, threads });
      for (let round = 0; round < 5; round++) {
        expect((await program.run({ indices, updates })).sums).toEqual(naive);
      }
      await program.dispose();
    }
  });
});
