import { describe, expect, it } from "vitest";
import { randomData } from "../../test/support/evaluate.ts";
import { convolution } from "../graph/convolution.ts";
import { transpose } from "../graph/shaping.ts";
import { input } from "../graph/tensor.ts";
import { compile } from "../runtime/program.ts";
import { namedParameters } from "./module.ts";
import { PatchProjection } from "./patch-projection.ts";
import { patchIndices, patchMapSize } from "./patches.ts";
import { TokenMap } from "./token-map.ts";

describe("patchMapSize", () => {
  it.each([
    [224, 7, 4, 2, 56], // CoSwin's stem
    [56, 3, 2, 1, 28], // its merges
    [7, 3, 2, 1, 4],
    [40, 4, 4, 0, 10], // Swin's stem
    [33, 4, 4, 0, 8], // what is left over is dropped
  ])("size %d, kernel %d, stride %d, padding %d: %d places", (size, kernel, stride, padding, places) => {
    expect(patchMapSize({ height: size, width: size, kernel, stride, padding })).toEqual({
      height: places,
      width: places,
    });
  });
});

describe("patchIndices", () => {
  it("lists each patch's pixels row by row, −1 in the padding", () => {
    const indices = patchIndices({ height: 2, width: 3, kernel: 3, stride: 2, padding: 1 });
    expect([...indices]).toEqual([
      ...[-1, -1, -1, -1, 0, 1, -1, 3, 4], // top left
      ...[-1, -1, -1, 1, 2, -1, 4, 5, -1], // top right
    ]);
  });

  it("covers every pixel once when patches tile the map", () => {
    const indices = patchIndices({ height: 8, width: 12, kernel: 4, stride: 4, padding: 0 });
    expect([...indices].sort((a, b) => a - b)).toEqual(Array.from({ length: 96 }, (_, i) => i));
  });
});

describe("PatchProjection", () => {
  it.each([
    { name: "a stem", kernel: 7, stride: 4, padding: 2 },
    { name: "a merge", kernel: 3, stride: 2, padding: 1 },
    { name: "patches", kernel: 4, stride: 4, padding: 0 },
  ])("is the convolution, for $name, whatever the order of its input and output", async (geometry) => {
    const [height, width, inputs, outputs] = [9, 13, 3, 5];
    const projection = new PatchProjection({ inputs, outputs, ...geometry });
    const image = input("image", [2, height, width, inputs]);
    const tokens = input("tokens", [2, height * width, inputs]);
    const direct = transpose(
      convolution(transpose(image, [0, 3, 1, 2]), projection.weight, projection.bias, geometry),
      [0, 2, 3, 1],
    );
    const map = new TokenMap(tokens, height, width);
    const backwards = Int32Array.from({ length: height * width }, (_, i) => height * width - 1 - i);
    const count = direct.shape[1] * direct.shape[2];
    const reordered = Int32Array.from({ length: count }, (_, i) => (i + 1) % count);
    const straight = projection.forward(map);
    const moved = projection.forward(map.inOrder(backwards), reordered);
    expect([moved.height, moved.width]).toEqual([direct.shape[1], direct.shape[2]]);

    const parameters = namedParameters(projection);
    const program = await compile({
      outputs: { direct, straight: straight.tokens, moved: moved.inOrder().tokens },
      parameters,
      threads: 1,
    });
    const data = randomData([2, height, width, inputs], "image");
    const result = (await program.run({
      image: data,
      tokens: data,
      weight: randomData(projection.weight.shape, "weight"),
      bias: randomData([outputs], "bias"),
    })) as Record<string, Float32Array>;
    await program.dispose();
    for (const name of ["straight", "moved"]) {
      expect(
        result[name].every((value, i) => Math.abs(value - result.direct[i]) < 2e-5),
        name,
      ).toBe(true);
    }
  });
});
