import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { add, expand, mul, reshape, sum } from "./broadcasting.ts";
import { convolution } from "./convolution.ts";
import { cast, clamp, equal, where } from "./elementwise.ts";
import { gradients } from "./gradients.ts";
import { embedding, gather, gatherFixed, scatterAdd } from "./indexing.ts";
import { linear, matmul } from "./matrix.ts";
import { groupNorm, layerNorm } from "./normalization.ts";
import { averagePool, maxPool } from "./pooling.ts";
import { mean } from "./reductions.ts";
import { resizeBilinear, sampleBilinear } from "./sampling.ts";
import { concat, pad, slice, split, transpose } from "./shaping.ts";
import { softmax } from "./softmax.ts";
import { constant, input, type Shape, singleOperator, type Tensor } from "./tensor.ts";

interface Misuse {
  operator: string;
  rule: string;
  got: string[]; // the shapes or values at fault
  build: () => unknown;
}

let names = 0;
const x = (...shape: number[]): Tensor => input(`x${names++}`, shape);
const ids = (...shape: Shape): Tensor => input(`ids${names++}`, shape, "int32");

const misuses: Misuse[] = [
  { operator: "add", rule: "axes must be equal or 1", got: ["[2, 3]", "[2, 4]"], build: () => add(x(2, 3), x(2, 4)) },
  { operator: "mul", rule: "must be float32", got: ["int32"], build: () => mul(ids(2), x(2)) },
  { operator: "reshape", rule: "sizes must agree", got: ["[2, 3]", "[4, -1]"], build: () => reshape(x(2, 3), [4, -1]) },
  { operator: "expand", rule: "does not stretch", got: ["[2, 3]", "[1, 3]"], build: () => expand(x(2, 3), [1, 3]) },
  { operator: "sum", rule: "axis must lie in [-2, 2)", got: ["2"], build: () => sum(x(2, 3), 2) },
  { operator: "mean", rule: "something to average", got: ["[0, 3]"], build: () => mean(x(0, 3)) },
  { operator: "softmax", rule: "axis must lie in [-2, 2)", got: ["-3"], build: () => softmax(x(2, 3), -3) },
  {
    operator: "matmul",
    rule: "inner axes must agree",
    got: ["[2, 3]", "[4, 3]"],
    build: () => matmul(x(2, 3), x(4, 3)),
  },
  {
    operator: "matmul",
    rule: "inner axes must agree",
    got: ["[2, 3]", "[3, 4]", "b transposed"],
    build: () => matmul(x(2, 3), x(3, 4), { transposeB: true }),
  },
  { operator: "matmul", rule: "two axes or more", got: ["[3]", "[3, 4]"], build: () => matmul(x(3), x(3, 4)) },
  {
    operator: "matmul",
    rule: "axes must be equal or 1",
    got: ["[2]", "[5]"],
    build: () => matmul(x(2, 4, 3), x(5, 3, 4)),
  },
  { operator: "linear", rule: "must fit weight", got: ["[2, 3]", "[4, 5]"], build: () => linear(x(2, 3), x(4, 5)) },
  { operator: "linear", rule: "bias must be [4]", got: ["[3]"], build: () => linear(x(2, 3), x(4, 3), x(3)) },
  {
    operator: "transpose",
    rule: "each of 2 axes once",
    got: ["[2, 3]", "[0, 0]"],
    build: () => transpose(x(2, 3), [0, 0]),
  },
  { operator: "slice", rule: "0 ≤ start ≤ end", got: ["[5, 2]", "4", "3"], build: () => slice(x(5, 2), 0, 4, 3) },
  { operator: "pad", rule: "must be ≥ 0", got: ["[5, 2]", "-1", "2"], build: () => pad(x(5, 2), 0, -1, 2) },
  {
    operator: "concat",
    rule: "axes but 1 must agree",
    got: ["[2, 3]", "[3, 3]"],
    build: () => concat([x(2, 3), x(3, 3)], 1),
  },
  { operator: "split", rule: "must add up", got: ["[5, 2]", "[2, 2]"], build: () => split(x(5, 2), 0, [2, 2]) },
  { operator: "gather", rule: "must be int32 or int64", got: ["float32"], build: () => gather(x(4, 2), x(3)) },
  {
    operator: "gatherFixed",
    rule: "must lie in [-1, 4)",
    got: ["4"],
    build: () => gatherFixed(x(2, 4, 3), Int32Array.of(0, 4)),
  },
  { operator: "embedding", rule: "must be [rows, width]", got: ["[4]"], build: () => embedding(x(4), ids(2)) },
  {
    operator: "scatterAdd",
    rule: "updates must be [2, 3]",
    got: ["[3, 3]"],
    build: () => scatterAdd([5, 3], ids(2), x(3, 3)),
  },
  {
    operator: "convolution",
    rule: "must fit weight",
    got: ["[1, 3, 8, 8]", "[4, 2, 3, 3]", "groups=1"],
    build: () => convolution(x(1, 3, 8, 8), x(4, 2, 3, 3)),
  },
  {
    operator: "convolution",
    rule: "the kernel must fit",
    got: ["[1, 3, 2, 8]", "3"],
    build: () => convolution(x(1, 3, 2, 8), x(4, 3, 3, 3)),
  },
  {
    operator: "convolution",
    rule: "one stride, padding and dilation for each",
    got: ["[1, 3, 8, 8]", "[2]"],
    build: () => convolution(x(1, 3, 8, 8), x(4, 3, 3, 3), undefined, { stride: [2] }),
  },
  {
    operator: "convolution",
    rule: "bias must be [4]",
    got: ["[3]"],
    build: () => convolution(x(1, 3, 8), x(4, 3, 3), x(3)),
  },
  { operator: "maxPool", rule: "must fit", got: ["[9]", "[1, 2, 8]"], build: () => maxPool(x(1, 2, 8), { kernel: 9 }) },
  {
    operator: "averagePool",
    rule: "must be [B, C, ...space]",
    got: ["[2, 8]"],
    build: () => averagePool(x(2, 8), { kernel: 2 }),
  },
  { operator: "layerNorm", rule: "must be [4]", got: ["[2, 4]", "[3]"], build: () => layerNorm(x(2, 4), x(3), x(4)) },
  {
    operator: "groupNorm",
    rule: "must divide the channels",
    got: ["3", "[2, 4, 5]"],
    build: () => groupNorm(x(2, 4, 5), 3, x(4), x(4)),
  },
  {
    operator: "groupNorm",
    rule: "weight and bias must be [4]",
    got: ["[2, 4, 5]", "[5]"],
    build: () => groupNorm(x(2, 4, 5), 2, x(5), x(4)),
  },
  {
    operator: "resizeBilinear",
    rule: "must be [B, C, H, W]",
    got: ["[3, 4]"],
    build: () => resizeBilinear(x(3, 4), 2, 2),
  },
  {
    operator: "sampleBilinear",
    rule: "places [B, P, 2]",
    got: ["[1, 4, 4, 2]", "[2, 5, 2]"],
    build: () => sampleBilinear(x(1, 4, 4, 2), x(2, 5, 2)),
  },
  { operator: "where", rule: "must be bool", got: ["float32"], build: () => where(x(2), 0, 1) },
  { operator: "equal", rule: "of one type", got: ["int32", "float32"], build: () => equal(ids(2), x(2)) },
  { operator: "clamp", rule: "low must not exceed high", got: ["1", "0"], build: () => clamp(x(2), 1, 0) },
  { operator: "constant", rule: "must hold 3 values", got: ["[2]"], build: () => constant(new Float32Array(3), [2]) },
];

describe("a misused operator says its name, the rule and what it got", () => {
  it.each(misuses)("$operator: $rule, got $got", ({ operator, rule, got, build }) => {
    let message = "no error";
    try {
      build();
    } catch (error) {
      expect(error).toBeInstanceOf(ShapeError);
      message = (error as ShapeError).message;
    }
    expect(message.slice(0, message.indexOf(":"))).toBe(operator);
    expect(message).toContain(rule);
    for (const part of got) expect(message).toContain(part);
  });
});

describe("a gradient that cannot be taken", () => {
  it("needs a loss of one element", () => {
    const weight = x(2, 3);
    expect(() => gradients(mul(weight, 2), [weight])).toThrow(
      /^gradients: the loss must have one element, got \[2, 3\]/,
    );
  });

  it("names the operator without a rule", () => {
    const weight = x(2, 3);
    const opaque = singleOperator({ type: "Ceil", inputs: [weight], shape: [2, 3] });
    expect(() => gradients(sum(opaque), [weight])).toThrow("gradients: Ceil has no gradient rule");
  });

  it("names the operator whose rule gives another shape", () => {
    const weight = x(2, 3);
    const doubled = mul(weight, 2);
    const wrong = singleOperator({ type: "Wrong", inputs: [doubled], shape: [2, 3], gradient: () => [x(3, 2)] });
    expect(() => gradients(sum(wrong), [weight])).toThrow(/tensor's shape \[2, 3\] \(output of Mul\), got \[3, 2\]/);
  });

  it("along another axis than a gather's first has a remedy", () => {
    const weight = x(2, 3);
    expect(() => gradients(sum(gather(weight, ids(2), 1)), [weight])).toThrow("Use gatherFixed");
  });

  it("is undefined, and no error, where the loss does not depend on the tensor", () => {
    const [used, unused] = [x(2), x(2)];
    expect(gradients(sum(mul(used, 3)), [used, unused]).map((gradient) => gradient?.shape)).toEqual([[2], undefined]);
    expect(gradients(sum(cast(cast(used, "int32"), "float32")), [used])).toEqual([undefined]);
  });
});
