import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomData } from "../../test/support/evaluate.ts";
import { mul, sum } from "../graph/broadcasting.ts";
import { gradients } from "../graph/gradients.ts";
import { linear } from "../graph/matrix.ts";
import { input, Parameter, type Tensor } from "../graph/tensor.ts";
import type { FeedData } from "./program.ts";
import { ShardedProgram, shardingOf } from "./sharded-program.ts";

const [batch, width] = [6, 5];
const weight = new Parameter([3, width], (data) => void data.fill(1));
const parameters = new Map([["weight", weight]]);
const weights = new Map([["weight", randomData([3, width], "weight")]]);
const x = randomData([batch, width], "x");

/** The sum of squares of a linear map, and its gradient, for so many rows. */
function outputsFor(rows: number): Record<string, Tensor> {
  const y = linear(input("x", [rows, width]), weight);
  const loss = sum(mul(y, y));
  return { loss, gradient: gradients(loss, [weight])[0] as Tensor };
}

function partsOf(shards: number): Map<string, FeedData>[] {
  const length = x.length / shards;
  return Array.from({ length: shards }, (_, i) => new Map([["x", x.subarray(i * length, (i + 1) * length)]]));
}

describe("ShardedProgram", () => {
  let whole: ShardedProgram;
  let parts: ShardedProgram;
  beforeAll(async () => {
    whole = await ShardedProgram.create({ outputs: outputsFor(batch), parameters }, { shards: 1, threads: 1 });
    parts = await ShardedProgram.create({ outputs: outputsFor(batch / 3), parameters }, { shards: 3, threads: 1 });
  });
  afterAll(async () => {
    await whole.dispose();
    await parts.dispose();
  });

  it("adds the parts' outputs up to those of the whole batch, whose feeds stay as they are", async () => {
    const before = structuredClone([x, weights]);
    const expected = await whole.run(weights, partsOf(1));
    const found = await parts.run(weights, partsOf(3));
    expect(found.loss?.[0]).toBeCloseTo(expected.loss?.[0] as number, 4);
    for (const [i, value] of (expected.gradient as Float32Array).entries()) {
      expect(found.gradient?.[i]).toBeCloseTo(value, 4);
    }
    expect([x, weights]).toEqual(before);
    expect(await parts.run(weights, partsOf(3))).toEqual(found);
  });

  it("says what is wrong with its feeds, and goes on", async () => {
    await expect(parts.run(weights, partsOf(2))).rejects.toThrow("there must be 3 parts, got 2");
    await expect(parts.run(new Map(), partsOf(3))).rejects.toThrow("weight must be fed, it is missing");
    expect((await parts.run(weights, partsOf(3))).loss).toHaveLength(1);
  });
});

describe("shardingOf", () => {
  it.each([
    [4, 2, { shards: 2, threads: 1 }],
    [4, 1, { shards: 1, threads: 1 }],
    [4, 8, { shards: 4, threads: 2 }],
    [5, 4, { shards: 1, threads: 4 }],
    [6, 4, { shards: 3, threads: 1 }],
    [1, 2, { shards: 1, threads: 2 }],
    [128, 64, { shards: 4, threads: 16 }],
  ])("divides a batch of %i among %i processors", (size, threads, expected) => {
    expect(shardingOf(size, threads)).toEqual(expected);
  });
});
