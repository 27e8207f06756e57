import { describe, expect, it } from "vitest";
import { gradientError, randomData } from "../../test/support/evaluate.ts";
import { gelu, geluTanh, quickGelu, squaredRelu } from "./activations.ts";
import { add, expand, mul, reshape, sum } from "./broadcasting.ts";
import { convolution } from "./convolution.ts";
import { deformableConvolution } from "./deformable-convolution.ts";
import * as elementwise from "./elementwise.ts";
import { embedding, gather, gatherFixed, scatterAdd } from "./indexing.ts";
import { linear, matmul } from "./matrix.ts";
import { groupNorm, groupNormTokens, layerNorm } from "./normalization.ts";
import { averagePool, maxPool } from "./pooling.ts";
import { checkpointed } from "./recomputation.ts";
import { logSumExp, max, mean } from "./reductions.ts";
import { regionAlign } from "./region-pooling.ts";
import { resizeBilinear, resizeMapBilinear, sampleBilinear } from "./sampling.ts";
import { concat, pad, roll, slice, split, transpose } from "./shaping.ts";
import { logSoftmax, normalizeL2, softmax } from "./softmax.ts";
import { constant, type Shape, type Tensor } from "./tensor.ts";
import { convolveTokens } from "./token-convolution.ts";

const positive = (shape: Shape) => randomData(shape, "positive", 0.5, 2);
/** Values at least 0.1 apart and from 0, so that a difference step crosses no kink. */
const spaced = (shape: Shape) => {
  const size = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: size }, (_, i) => (((i * 37) % size) - size / 2 + 0.5) * 0.1);
};

interface Case {
  name: string;
  shapes: Shape[];
  build: (...x: Tensor[]) => Tensor;
  data?: Float32Array[];
  step?: number;
}

const unary = (name: keyof typeof elementwise, data = randomData([2, 3], name)): Case => ({
  name,
  shapes: [[2, 3]],
  data: [data],
  build: (x) => (elementwise[name] as (t: Tensor) => Tensor)(x as Tensor),
  step: 3e-3,
});

const indices = (...values: number[]) => constant(Int32Array.from(values), [values.length]);
const convolutionCase = (name: string, x: Shape, w: Shape, options: Parameters<typeof convolution>[3]): Case => ({
  name: `convolution ${name}`,
  shapes: [x, w, [w[0] as number]],
  build: (a, b, c) => convolution(a as Tensor, b as Tensor, c, options),
});

/** Of a 2×3 map, kernel 3: the token under each tap, row by row. */
const neighboursOf2x3 = Int32Array.from({ length: 6 * 9 }, (_, i) => {
  const [token, tap] = [Math.floor(i / 9), i % 9];
  const [row, column] = [Math.floor(token / 3) + Math.floor(tap / 3) - 1, (token % 3) + (tap % 3) - 1];
  return row >= 0 && row < 2 && column >= 0 && column < 3 ? row * 3 + column : -1;
});

const cases: Case[] = [
  {
    name: "convolveTokens",
    shapes: [[2, 6, 2], [3, 2, 3, 3], [3]],
    build: (x, w, b) => convolveTokens(x as Tensor, w as Tensor, b as Tensor, neighboursOf2x3),
  },
  { name: "add, broadcast", shapes: [[2, 3], [3]], build: (a, b) => add(a as Tensor, b as Tensor) },
  {
    name: "add, both stretch",
    shapes: [
      [2, 1],
      [1, 3],
    ],
    build: (a, b) => add(a as Tensor, b as Tensor),
  },
  {
    name: "sub",
    shapes: [
      [2, 3],
      [2, 1],
    ],
    build: (a, b) => elementwise.sub(a as Tensor, b as Tensor),
  },
  { name: "mul", shapes: [[2, 3], [3]], build: (a, b) => mul(a as Tensor, b as Tensor) },
  {
    name: "div",
    shapes: [[2, 3], [3]],
    data: [randomData([2, 3], 1), positive([3])],
    build: (a, b) => elementwise.div(a as Tensor, b as Tensor),
  },
  {
    name: "maximum",
    shapes: [
      [4, 3],
      [4, 3],
    ],
    data: [spaced([4, 3]), spaced([4, 3]).reverse()],
    build: (a, b) => elementwise.maximum(a as Tensor, b as Tensor),
  },
  {
    name: "minimum",
    shapes: [[4, 3], [1]],
    data: [spaced([4, 3]), Float32Array.of(0.01)],
    build: (a, b) => elementwise.minimum(a as Tensor, b as Tensor),
  },
  {
    name: "where",
    shapes: [[3], [3]],
    build: (a, b) =>
      elementwise.where(elementwise.lessThan(constant(Float32Array.of(0, 1, 0), [3]), 0.5), a as Tensor, b as Tensor),
  },
  { name: "clamp", shapes: [[4, 3]], data: [spaced([4, 3])], build: (x) => elementwise.clamp(x as Tensor, -0.3, 0.3) },
  unary("neg"),
  unary("exp"),
  unary("log", positive([2, 3])),
  unary("sqrt", positive([2, 3])),
  unary("abs", spaced([2, 3])),
  unary("square"),
  unary("tanh"),
  unary("erf"),
  unary("sigmoid"),
  unary("relu", spaced([2, 3])),
  unary("softplus"),
  { name: "gelu", shapes: [[3, 4]], data: [randomData([3, 4], 2, -3, 3)], build: (x) => gelu(x as Tensor) },
  { name: "geluTanh", shapes: [[3, 4]], data: [randomData([3, 4], 2, -3, 3)], build: (x) => geluTanh(x as Tensor) },
  { name: "quickGelu", shapes: [[3, 4]], data: [randomData([3, 4], 2, -3, 3)], build: (x) => quickGelu(x as Tensor) },
  { name: "squaredRelu", shapes: [[3, 4]], data: [spaced([3, 4])], build: (x) => squaredRelu(x as Tensor) },
  { name: "sum", shapes: [[2, 3, 4]], build: (x) => sum(x as Tensor, [0, 2]) },
  { name: "mean", shapes: [[2, 3, 4]], build: (x) => mean(x as Tensor, -1, true) },
  { name: "max", shapes: [[3, 4]], data: [spaced([3, 4])], build: (x) => max(x as Tensor, 1) },
  { name: "logSumExp", shapes: [[3, 4]], build: (x) => logSumExp(x as Tensor, 1) },
  { name: "reshape", shapes: [[2, 6]], build: (x) => reshape(x as Tensor, [3, -1]) },
  { name: "transpose", shapes: [[2, 3, 4]], build: (x) => transpose(x as Tensor, [2, 0, 1]) },
  { name: "expand", shapes: [[3, 1]], build: (x) => expand(x as Tensor, [2, 3, 4]) },
  { name: "slice", shapes: [[5, 2]], build: (x) => slice(x as Tensor, 0, 1, 4) },
  { name: "slice with a step", shapes: [[2, 7]], build: (x) => slice(x as Tensor, 1, 1, 7, 3) },
  { name: "slice with a step to the end", shapes: [[2, 6]], build: (x) => slice(x as Tensor, 1, 0, 6, 2) },
  { name: "pad", shapes: [[2, 3]], build: (x) => pad(x as Tensor, 1, 1, 2) },
  {
    name: "concat",
    shapes: [
      [2, 3],
      [2, 1],
    ],
    build: (a, b) => concat([a as Tensor, b as Tensor], 1),
  },
  {
    name: "split, one part used",
    shapes: [[5, 2]],
    build: (x) => split(x as Tensor, 0, [2, 3])[1] as Tensor,
  },
  { name: "roll", shapes: [[2, 5]], build: (x) => roll(x as Tensor, 1, -2) },
  { name: "gather", shapes: [[4, 3]], build: (x) => gather(x as Tensor, indices(2, 0, 2, 3)) },
  {
    name: "embedding",
    shapes: [[4, 3]],
    build: (x) => embedding(x as Tensor, constant(Int32Array.of(1, 1, 0, 3), [2, 2])),
  },
  { name: "scatterAdd", shapes: [[4, 2]], build: (x) => scatterAdd([3, 2], indices(0, 2, 2, 1), x as Tensor) },
  {
    name: "gatherFixed with repeats and holes",
    shapes: [[2, 4, 3]],
    build: (x) => gatherFixed(x as Tensor, Int32Array.of(3, -1, 0, 0, 2)),
  },
  {
    name: "matmul 2-D",
    shapes: [
      [2, 3],
      [3, 4],
    ],
    build: (a, b) => matmul(a as Tensor, b as Tensor, { scale: 0.5 }),
  },
  ...[true, false].flatMap((transposeA) =>
    [true, false].map((transposeB) => ({
      name: `matmul batched, transposeA=${transposeA} transposeB=${transposeB}`,
      shapes: [
        [2, ...(transposeA ? [3, 4] : [4, 3])],
        [2, ...(transposeB ? [5, 3] : [3, 5])],
      ],
      build: (a?: Tensor, b?: Tensor) => matmul(a as Tensor, b as Tensor, { transposeA, transposeB, scale: 0.7 }),
    })),
  ),
  {
    name: "matmul, broadcast batch",
    shapes: [
      [1, 2, 3],
      [4, 3, 2],
    ],
    build: (a, b) => matmul(a as Tensor, b as Tensor),
  },
  { name: "linear", shapes: [[2, 2, 3], [4, 3], [4]], build: (x, w, b) => linear(x as Tensor, w as Tensor, b) },
  { name: "softmax", shapes: [[2, 3, 4]], build: (x) => softmax(x as Tensor, 1) },
  { name: "logSoftmax", shapes: [[3, 4]], build: (x) => logSoftmax(x as Tensor) },
  { name: "normalizeL2", shapes: [[3, 4]], build: (x) => normalizeL2(x as Tensor) },
  {
    name: "layerNorm",
    shapes: [[2, 3, 5], [5], [5]],
    build: (x, w, b) => layerNorm(x as Tensor, w as Tensor, b as Tensor),
  },
  {
    name: "groupNorm",
    shapes: [[2, 4, 3], [4], [4]],
    build: (x, w, b) => groupNorm(x as Tensor, 2, w as Tensor, b as Tensor),
  },
  {
    name: "groupNormTokens",
    shapes: [[2, 3, 4], [4], [4]],
    build: (x, w, b) => groupNormTokens(x as Tensor, 2, w as Tensor, b as Tensor),
  },
  convolutionCase("1-D", [2, 2, 7], [3, 2, 3], { stride: 2, padding: 1 }),
  convolutionCase("2-D", [2, 2, 6, 5], [3, 2, 3, 3], { stride: 2, padding: 1 }),
  convolutionCase("2-D, 7×7 stride 4", [1, 2, 12, 12], [2, 2, 7, 7], { stride: 4, padding: 2 }),
  convolutionCase("2-D, dilated", [1, 2, 7, 7], [2, 2, 3, 3], { dilation: 2, padding: 2 }),
  convolutionCase("2-D, groups", [2, 4, 5, 5], [6, 2, 3, 3], { groups: 2, padding: 1, stride: 2 }),
  convolutionCase("2-D, depthwise", [2, 3, 5, 5], [3, 1, 3, 3], { groups: 3, padding: 1 }),
  convolutionCase("3-D", [1, 2, 4, 5, 4], [2, 2, 2, 3, 3], { stride: [1, 2, 1], padding: [0, 1, 1] }),
  {
    name: "maxPool",
    shapes: [[2, 2, 6, 6]],
    data: [spaced([2, 2, 6, 6])],
    build: (x) => maxPool(x as Tensor, { kernel: 3, stride: 2, padding: 1 }),
  },
  {
    name: "averagePool",
    shapes: [[2, 2, 7, 6]],
    build: (x) => averagePool(x as Tensor, { kernel: 3, stride: 2, padding: 1 }),
  },
  { name: "resizeBilinear up", shapes: [[1, 2, 3, 4]], build: (x) => resizeBilinear(x as Tensor, 5, 7) },
  { name: "resizeBilinear down", shapes: [[1, 2, 6, 5]], build: (x) => resizeBilinear(x as Tensor, 3, 2) },
  { name: "resizeMapBilinear", shapes: [[2, 3, 4, 2]], build: (x) => resizeMapBilinear(x as Tensor, 5, 2) },
  {
    name: "sampleBilinear",
    shapes: [
      [2, 4, 5, 3],
      [2, 3, 2],
    ],
    data: [randomData([2, 4, 5, 3], 9), Float32Array.of(0.3, 0.4, 2.6, 1.7, -0.6, 2.2, 3.7, 3.4, 1.5, 0.5, 4.4, 2.3)],
    build: (x, p) => sampleBilinear(x as Tensor, p as Tensor),
  },
  {
    name: "deformableConvolution, stride 2",
    shapes: [
      [2, 12, 2],
      [2, 4, 18],
      [2, 4, 9],
      [3, 2, 3, 3],
    ],
    // Offsets that keep a difference step within one pixel.
    data: [
      randomData([2, 12, 2], 10),
      randomData([2, 4, 18], 11, 0.05, 0.95).map((value, i) => value + (i % 3) - 1),
      randomData([2, 4, 9], 12, 0, 1),
      randomData([3, 2, 3, 3], 13),
    ],
    build: (x, offsets, factors, w) =>
      deformableConvolution(
        x as Tensor,
        { offsets: offsets as Tensor, factors: factors as Tensor },
        w as Tensor,
        undefined,
        { height: 4, width: 3, stride: 2, padding: 1 },
      ),
  },
  {
    name: "regionAlign",
    shapes: [
      [1, 5, 6, 2],
      [1, 2, 4],
    ],
    // Samples that a difference step keeps within one pixel.
    data: [randomData([1, 5, 6, 2], 14), Float32Array.of(1.3, 0.9, 8.1, 7.3, 3.2, 2.1, 9.7, 6.5)],
    build: (x, boxes) => regionAlign(x as Tensor, boxes as Tensor, { stride: 2, bins: 2, samples: 2 }),
  },
  {
    name: "checkpointed",
    shapes: [
      [3, 4],
      [4, 4],
    ],
    build: (x, w) => checkpointed((a, b) => gelu(matmul(a as Tensor, b as Tensor)), x as Tensor, w as Tensor),
  },
];

describe("gradients against central differences", () => {
  it.each(cases)("$name", async ({ shapes, build, data, step }) => {
    const error = await gradientError({ shapes, build, ...(data ? { data } : {}), ...(step ? { step } : {}) });
    expect(error).toBeLessThan(1e-3);
  });
});
