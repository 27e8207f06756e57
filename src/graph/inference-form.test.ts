import * as ort from "onnxruntime-node";
import { expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { initialWeights, namedParameters } from "../nn/module.ts";
import { TransformerBlock } from "../nn/transformer-block.ts";
import { withDynamicAxes } from "./dynamic-axes.ts";
import { inferenceForm } from "./inference-form.ts";
import { encodeOnnx } from "./onnx-encoding.ts";
import { slice } from "./shaping.ts";
import { input, type Tensor } from "./tensor.ts";
import { nodesInOrder } from "./traversal.ts";

const [tokens, width] = [5, 24];
const stack = {
  blocks: [1, 2].map(() => new TransformerBlock({ width, heads: 3, hidden: 48, activation: "quick-gelu" })),
};
const parameters = namedParameters(stack);
const rng = new Rng("inference form");
const weights = new Map(
  [...initialWeights(stack, 1)].map(([name, data]) => [name, data.map((v) => v + rng.normal(0, 0.3))]),
);

/** Two blocks, the last for one token alone, in a batch that a run decides. */
const graph = withDynamicAxes([{ name: "batch", probes: [2, 3, 5], input: "x", axis: 0 }], ({ batch = 1 }) => {
  const [first, last] = stack.blocks as [TransformerBlock, TransformerBlock];
  const x = first.forward(input("x", [batch, tokens, width]));
  return { whole: last.forward(x), one: last.forwardSome(x, (all) => slice(all, 1, 0, 1)) };
});

async function run(inference: boolean, batch: number): Promise<Record<string, Float32Array>> {
  const session = await ort.InferenceSession.create(encodeOnnx({ ...graph, parameters, weights, inference }).bytes);
  const x = new ort.Tensor(
    "float32",
    new Float32Array(batch * tokens * width).map((_, i) => Math.sin(i)),
    [batch, tokens, width],
  );
  const found = await session.run({ x });
  await session.release();
  return Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, data as Float32Array]));
}

it.each([1, 4])("computes what the graph did, for a batch of %d", async (batch) => {
  const [expected, found] = [await run(false, batch), await run(true, batch)];
  for (const name of ["whole", "one"]) {
    const [a, b] = [expected[name] as Float32Array, found[name] as Float32Array];
    expect(b.length).toBe(batch * width * (name === "whole" ? tokens : 1));
    expect(Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))))).toBeLessThan(1e-5);
    expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.5);
  }
});

it("splits no joint projection, and leaves no bias in a product", () => {
  const types = typesOf(Object.values(inferenceForm(graph.outputs)));
  expect(typesOf(Object.values(graph.outputs))).toMatchObject({ Split: 3, Gemm: 13 });
  expect(types.Split).toBeUndefined();
  expect(types.Gemm).toBeUndefined();
});

function typesOf(outputs: readonly Tensor[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type } of nodesInOrder(outputs)) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}
