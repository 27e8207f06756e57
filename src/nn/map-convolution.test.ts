import { describe, expect, it } from "vitest";
import { randomData } from "../../test/support/evaluate.ts";
import { mul, sum } from "../graph/broadcasting.ts";
import { convolution } from "../graph/convolution.ts";
import { gradients } from "../graph/gradients.ts";
import { transpose } from "../graph/shaping.ts";
import { constant, input, type Tensor } from "../graph/tensor.ts";
import { compile } from "../runtime/program.ts";
import { MapConvolution } from "./map-convolution.ts";
import { namedParameters } from "./module.ts";

const [batch, height, width, inputs, outputs] = [2, 5, 4, 3, 6];

describe("MapConvolution", () => {
  it.each([3, 5])("of kernel %d is ONNX's convolution, with its gradients", async (kernel) => {
    const layer = new MapConvolution({ inputs, outputs, kernel });
    const image = input("image", [batch, height, width, inputs]);
    const tokens = input("tokens", [batch, height * width, inputs]);
    const padded = convolution(transpose(image, [0, 3, 1, 2]), layer.weight, layer.bias, { padding: (kernel - 1) / 2 });
    const reference = transpose(padded, [0, 2, 3, 1]);
    const ours = layer.forward(tokens, { height, width });
    const weighting = randomData(ours.shape, "weighting");
    const gradientsOf = (y: Tensor, x: Tensor): (Tensor | undefined)[] =>
      gradients(sum(mul(y, constant(weighting, y.shape))), [x, layer.weight, layer.bias]);
    const [toTokens, toWeight, toBias] = gradientsOf(ours, tokens) as [Tensor, Tensor, Tensor];
    const [toImage, toWeight2, toBias2] = gradientsOf(reference, image) as [Tensor, Tensor, Tensor];
    const parameters = namedParameters(layer);
    const weights = new Map([...parameters].map(([name, { shape }]) => [name, randomData(shape, name)]));
    const outputsOf = { ours, reference, toTokens, toImage, toWeight, toWeight2, toBias, toBias2 };
    const program = await compile({ outputs: outputsOf, parameters, threads: 1 });
    const picture = randomData(image.shape, "picture");
    const found = await program.run(new Map([...weights, ["image", picture], ["tokens", picture]]));
    for (const [mine, theirs] of [
      ["ours", "reference"],
      ["toTokens", "toImage"],
      ["toWeight", "toWeight2"],
      ["toBias", "toBias2"],
    ]) {
      const [a, b] = [found[mine] as Float32Array, found[theirs] as Float32Array];
      expect(a).toHaveLength(b.length);
      expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]))), mine).toBeLessThan(1e-5);
      expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.1); // not both zero
    }
    await program.dispose();
  });
});
