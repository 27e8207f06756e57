import { describe, expect, it } from "vitest";
import { reshape } from "../../src/graph/broadcasting.ts";
import { concat, split } from "../../src/graph/shaping.ts";
import { constant, input, type Tensor } from "../../src/graph/tensor.ts";
import { AtssHead, type DetectionClasses } from "../../src/models/detection/atss-head.ts";
import { DynamicHead } from "../../src/models/detection/dynamic-head.ts";
import { FeaturePyramid } from "../../src/models/detection/feature-pyramid.ts";
import { namedParameters } from "../../src/nn/module.ts";
import { TokenMap } from "../../src/nn/token-map.ts";
import { deterministicFill } from "./deterministic-fill.ts";
import { encoderErrors, worstGradient } from "./encoder-parity.ts";
import { readFixture } from "./read-fixture.ts";

interface ReferenceConfig {
  inputs: [stride: number, channels: number][];
  strides: number[];
  width: number;
  blocks: number;
  groups: number;
  levels: number;
  classes: number;
  embedding: number;
  labels: number;
  sizes: [height: number, width: number][];
}

/** The references' flat input as levels. */
function flatLevels(sizes: ReferenceConfig["sizes"], channels: readonly number[]) {
  const lengths = sizes.map(([height, width], i) => height * width * (channels[i] as number));
  const total = lengths.reduce((a, b) => a + b, 0);
  const flat = input("levels", [2, total]);
  const maps = split(flat, 1, lengths).map((part, i) => {
    const [height, width] = sizes[i] as [number, number];
    return new TokenMap(reshape(part, [2, height * width, channels[i] as number]), height, width);
  });
  return { maps, feeds: { levels: deterministicFill("levels", 2 * total) } };
}

const joined = (maps: readonly TokenMap[]): Tensor =>
  concat(
    maps.map(({ tokens }) => tokens),
    1,
  );

/** `rows` vectors of length 1. */
function unitRows(name: string, rows: number, width: number): Tensor {
  const data = deterministicFill(name, rows * width);
  for (let r = 0; r < rows; r++) {
    const norm = Math.hypot(...data.subarray(r * width, (r + 1) * width));
    for (let i = r * width; i < (r + 1) * width; i++) data[i] /= norm;
  }
  return constant(data, [rows, width]);
}

interface Built {
  module: object;
  output: Tensor;
  feeds: { levels: Float32Array };
}

function pyramid({ inputs, strides, width, sizes }: ReferenceConfig): Built {
  const levels = inputs.map(([stride, channels]) => ({ stride, channels }));
  const module = new FeaturePyramid({ inputs: levels, strides, width });
  const { maps, feeds } = flatLevels(
    sizes,
    levels.map(({ channels }) => channels),
  );
  return { module, output: joined(module.forward(maps)), feeds };
}

function dynamicHead({ width, blocks, groups, sizes }: ReferenceConfig): Built {
  const module = new DynamicHead({ width, blocks, groups });
  const { maps, feeds } = flatLevels(
    sizes,
    sizes.map(() => width),
  );
  return { module, output: joined(module.forward(maps)), feeds };
}

function atssHead({ width, levels, classes, embedding, labels, sizes }: ReferenceConfig): Built {
  const kind: DetectionClasses = labels ? { kind: "text", embedding } : { kind: "fixed", count: classes };
  const module = new AtssHead({ width, levels, classes: kind });
  const { maps, feeds } = flatLevels(
    sizes,
    sizes.map(() => width),
  );
  const { logits, deltas, centerness } = module.forward(
    maps,
    labels ? unitRows("labels", labels, embedding) : undefined,
  );
  return { module, output: concat([logits, deltas, reshape(centerness, [...centerness.shape, 1])], 2), feeds };
}

describe("detector modules against PyTorch in float64", () => {
  it.each([
    ["feature-pyramid", "odd sizes, an unused finest level, two further levels", pyramid],
    ["dynamic-head", "two blocks on three levels of odd sizes", dynamicHead],
    ["atss-head-linear", "a fixed set of classes", atssHead],
    ["atss-head-text", "classes by text embeddings", atssHead],
  ])("%s: %s", async (name, _, build) => {
    const fixture = await readFixture(name);
    const { module, output, feeds } = build(fixture.json<ReferenceConfig>("config"));
    const errors = await encoderErrors(fixture, namedParameters(module), output, feeds);
    const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
    expect(errors.output).toBeLessThan(tolerance.forward);
    expect(errors.loss).toBeLessThan(tolerance.forward);
    expect(errors.gradients.size).toBe(namedParameters(module).size);
    const worst = worstGradient(errors);
    expect(worst.error, worst.name).toBeLessThan(tolerance.gradients);
  });
});
