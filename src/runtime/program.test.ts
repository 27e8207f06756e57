import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { add, mul } from "../graph/broadcasting.ts";
import { cast } from "../graph/elementwise.ts";
import { input, Parameter } from "../graph/tensor.ts";
import { compile, type Program } from "./program.ts";

const scale = new Parameter([3], (data) => void data.fill(1));
const outputs = {
  y: add(mul(input("x", [2, 3]), scale), cast(input("shift", [3], "int32"), "float32")),
};
const feeds = {
  x: Float32Array.of(1, 2, 3, 4, 5, 6),
  scale: Float32Array.of(1, 10, 100),
  shift: Int32Array.of(0, 0, -1),
};
const expected = [1, 20, 299, 4, 50, 599];

describe("a program", () => {
  let program: Program;
  beforeAll(async () => {
    program = await compile({ outputs, parameters: new Map([["scale", scale]]), threads: 1 });
  });
  afterAll(() => program.dispose());

  it("takes feeds as a record or a map, and ignores what it has no input for", async () => {
    expect([...(await program.run(feeds)).y]).toEqual(expected);
    const more = new Map<string, Float32Array | Int32Array>([...Object.entries(feeds), ["other", new Float32Array(1)]]);
    expect([...(await program.run(more)).y]).toEqual(expected);
  });

  it("reads its feeds and leaves them as they are", async () => {
    const before = structuredClone(feeds);
    await program.run(feeds);
    expect(feeds).toEqual(before);
  });

  it("gives the same bits in every run", async () => {
    const [first, second] = [await program.run(feeds), await program.run(feeds)];
    expect(second.y).toEqual(first.y);
    expect(second.y.buffer).not.toBe(first.y.buffer);
  });

  it("names a feed that is missing", async () => {
    const { shift: _shift, ...others } = feeds;
    await expect(program.run(others)).rejects.toThrow("Program.run: shift must be fed, it is missing");
    await expect(program.run(others)).rejects.toBeInstanceOf(UserError);
  });

  it("names a feed of the wrong size, with both sizes", async () => {
    await expect(program.run({ ...feeds, x: new Float32Array(5) })).rejects.toThrow(
      "Program.run: x must hold 6 values ([2, 3]), got 5",
    );
  });

  it("refuses a feed of the wrong type", async () => {
    await expect(program.run({ ...feeds, x: new Int32Array(6) })).rejects.toThrow(
      "Program.run: x must be float32, got Int32Array",
    );
  });
});

it("needs no feed for weights that are built in", async () => {
  const weights = new Map([["scale", feeds.scale]]);
  const program = await compile({ outputs, parameters: new Map([["scale", scale]]), weights, threads: 1 });
  expect(program.inputs.map(({ name }) => name)).toEqual(["x", "shift"]);
  expect([...(await program.run({ x: feeds.x, shift: feeds.shift })).y]).toEqual(expected);
  await program.dispose();
});
