import { describe, expect, it } from "vitest";
import { randomData } from "../../../test/support/evaluate.ts";
import { input } from "../../graph/tensor.ts";
import { initialWeights, namedParameters } from "../../nn/module.ts";
import { TokenMap } from "../../nn/token-map.ts";
import { compile } from "../../runtime/program.ts";
import { ConvolutionBlock } from "./convolution-block.ts";
import { CoSwin } from "./coswin.ts";
import { coSwinPresets } from "./coswin-presets.ts";
import { SwinBlock } from "./swin-block.ts";

describe("ConvolutionBlock", () => {
  it("gives in groups of images what it gives for the batch", async () => {
    const [batch, side, width] = [24, 16, 64]; // 4 MiB of neighbourhoods hold 7 images: groups of 6
    const block = new ConvolutionBlock({ width, activation: "squared-relu" });
    const map = new TokenMap(input("tokens", [batch, side * side, width]), side, side);
    const parameters = namedParameters(block);
    const outputs = {
      grouped: block.forward(map).tokens,
      whole: block.forward(map, undefined, true).tokens,
    };
    const program = await compile({ outputs, parameters, weights: initialWeights(block, 1), threads: 2 });
    const found = await program.run({ tokens: randomData(map.tokens.shape, "tokens") });
    const [grouped, whole] = [found.grouped as Float32Array, found.whole as Float32Array];
    const furthest = grouped.reduce((most, value, i) => Math.max(most, Math.abs(value - whole[i])), 0);
    expect(furthest).toBeLessThan(1e-5);
    await program.dispose();
  });

  it("stands in the first stages of an encoder that asks for it", () => {
    const { stages } = new CoSwin({ ...coSwinPresets.nano, depths: [1, 2, 2], convolutionStages: 2 });
    expect(stages.map(({ blocks }) => blocks.map((block) => block.constructor))).toEqual([
      [ConvolutionBlock],
      [ConvolutionBlock, ConvolutionBlock],
      [SwinBlock, SwinBlock],
    ]);
  });
});
