import { beforeAll, describe, expect, it } from "vitest";
import { gelu, quickGelu } from "../../src/graph/activations.ts";
import { add, mul, reshape, sum } from "../../src/graph/broadcasting.ts";
import { type ConvolutionOptions, convolution } from "../../src/graph/convolution.ts";
import { deformableConvolution } from "../../src/graph/deformable-convolution.ts";
import { exp, relu, sigmoid, softplus, tanh } from "../../src/graph/elementwise.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { embedding, gather, scatterAdd } from "../../src/graph/indexing.ts";
import { groupNorm, layerNorm } from "../../src/graph/normalization.ts";
import { averagePool, maxPool } from "../../src/graph/pooling.ts";
import { resizeBilinear, sampleBilinear } from "../../src/graph/sampling.ts";
import { transpose } from "../../src/graph/shaping.ts";
import { logSoftmax, softmax } from "../../src/graph/softmax.ts";
import { constant, input, type Tensor } from "../../src/graph/tensor.ts";
import { evaluate } from "../support/evaluate.ts";
import { type Fixture, readFixture, relativeError } from "./read-fixture.ts";

interface OperatorCase {
  name: string;
  operator: string;
  inputs: string[];
  differentiable: string[];
  attributes: Record<string, unknown>;
}

type Operands = Record<string, Tensor>;
/** Builds a case's output in our operators; `values` are the inputs' numbers, for indices. */
type Builder = (
  operands: Operands,
  attributes: Record<string, unknown>,
  values: Record<string, Float32Array>,
) => Tensor;

const onInput =
  (function_: (x: Tensor) => Tensor): Builder =>
  ({ input: x }) =>
    function_(x);

const pooling =
  (pool: typeof maxPool): Builder =>
  ({ input: x }, { kernel_size, stride, padding }) =>
    pool(x, { kernel: kernel_size as number, stride: stride as number, padding: padding as number });

/** PyTorch's element-wise indices along axis 0 as places in the flattened table. */
function flatPlaces(indices: Float32Array, columns: number): Tensor {
  const places = Int32Array.from(indices, (row, i) => row * columns + (i % columns));
  return constant(places, [places.length]);
}

const builders: Record<string, Builder> = {
  convolution: ({ input: x, weight, bias }, attributes) =>
    convolution(x, weight, bias, attributes as ConvolutionOptions),
  maxPool: pooling(maxPool),
  averagePool: pooling(averagePool),
  resize: ({ input: x }, { size }) => resizeBilinear(x, ...(size as [number, number])),
  gridSample: ({ input: x, grid }, { align_corners }) => {
    const [batch, channels, height, width] = x.shape;
    const [, rows, columns] = grid.shape;
    // From [−1, 1] to pixels, −1 and 1 being the outer pixels' centres or their outer edges.
    const sizes = align_corners ? [width - 1, height - 1] : [width, height];
    const scale = constant(
      Float32Array.from(sizes, (size) => size / 2),
      [2],
    );
    const offset = constant(Float32Array.of((width - 1) / 2, (height - 1) / 2), [2]);
    const places = reshape(add(mul(grid, scale), offset), [batch, rows * columns, 2]);
    const sampled = sampleBilinear(transpose(x, [0, 2, 3, 1]), places);
    return transpose(reshape(sampled, [batch, rows, columns, channels]), [0, 3, 1, 2]);
  },
  deformableConvolution: ({ input: x, offset, mask, weight, bias }, { stride, padding }) => {
    const [batch, , height, width] = x.shape;
    const [, , rows, columns] = mask.shape;
    const toTokens = (map: Tensor): Tensor => transpose(reshape(map, [...map.shape.slice(0, 2), -1]), [0, 2, 1]);
    const geometry = { height, width, stride: stride as number, padding: padding as number };
    const deformation = { offsets: toTokens(offset), factors: toTokens(mask) };
    const y = deformableConvolution(toTokens(x), deformation, weight, bias, geometry);
    return reshape(transpose(y, [0, 2, 1]), [batch, weight.shape[0], rows, columns]);
  },
  layerNorm: ({ input: x, weight, bias }, { epsilon }) => layerNorm(x, weight, bias, epsilon as number),
  groupNorm: ({ input: x, weight, bias }, { groups, epsilon }) =>
    groupNorm(x, groups as number, weight, bias, epsilon as number),
  gelu: onInput(gelu),
  "quick-gelu": onInput(quickGelu),
  sigmoid: onInput(sigmoid),
  relu: onInput(relu),
  tanh: onInput(tanh),
  softplus: onInput(softplus),
  exp: onInput(exp),
  softmax: ({ input: x }, { axis }) => softmax(x, axis as number),
  logSoftmax: ({ input: x }, { axis }) => logSoftmax(x, axis as number),
  embedding: ({ table, indices }, _, values) =>
    embedding(table, constant(Int32Array.from(values.indices), indices.shape)),
  scatterAdd: ({ base, updates }, _, { indices }) => {
    const added = scatterAdd([base.size], flatPlaces(indices, base.shape[1]), reshape(updates, [updates.size]));
    return add(base, reshape(added, base.shape));
  },
  gatherElements: ({ input: x, indices }, _, values) =>
    reshape(gather(reshape(x, [x.size]), flatPlaces(values.indices, x.shape[1])), indices.shape),
  indexAdd: ({ base, updates }, _, { rows }) =>
    add(base, scatterAdd(base.shape, constant(Int32Array.from(rows), [rows.length]), updates)),
};

/** What the graph has no operator for. */
const uncovered = [
  "conv-transpose2d",
  "conv-transpose2d-output-padding",
  "avg-pool2d-exclude-padding",
  "resize-bicubic-up",
  "resize-bicubic-position-bias",
  "resize-nearest-double",
];

describe("operators against PyTorch in float64", async () => {
  const fixture: Fixture = await readFixture("operators");
  const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
  const cases = fixture.json<OperatorCase[]>("cases");
  const covered = cases.filter(({ name }) => !uncovered.includes(name));
  let results: Record<string, Float32Array>;

  // All in one program: compiling is what takes time.
  beforeAll(async () => {
    const outputs: Record<string, Tensor> = {};
    const feeds: Record<string, Float32Array> = {};
    for (const { name, operator, inputs, differentiable, attributes } of covered) {
      const tensorOf = (key: string) => fixture.tensor(`${name}/${key}`);
      const operands = Object.fromEntries(inputs.map((key) => [key, input(`${name}/${key}`, tensorOf(key).shape)]));
      const values = Object.fromEntries(inputs.map((key) => [key, tensorOf(key).data]));
      for (const key of inputs) feeds[`${name}/${key}`] = tensorOf(key).data;
      const output = builders[operator](operands, attributes, values);
      outputs[`${name}/output`] = output;
      const loss = sum(mul(output, constant(tensorOf("cotangent").data, output.shape)));
      const found = gradients(
        loss,
        differentiable.map((key) => operands[key]),
      );
      for (const [i, key] of differentiable.entries()) outputs[`${name}/gradient.${key}`] = found[i] as Tensor;
    }
    results = await evaluate(outputs, feeds);
  });

  it.each(covered)("$name", ({ name, differentiable }) => {
    const error = (key: string): number =>
      relativeError(results[`${name}/${key}`], fixture.tensor(`${name}/${key}`).data);
    expect(error("output")).toBeLessThan(tolerance.forward);
    for (const key of differentiable) expect(error(`gradient.${key}`), key).toBeLessThan(tolerance.gradients);
  });

  it("leaves out only cases that the fixture has", () => {
    expect(cases.length - covered.length).toBe(uncovered.length);
  });
});
