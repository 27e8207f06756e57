import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { input } from "../graph/tensor.ts";
import { compile } from "../runtime/program.ts";
import { addAdapters, mergeAdapters, namedLinears } from "./low-rank.ts";
import { initialWeights, namedParameters } from "./module.ts";
import { TransformerBlock } from "./transformer-block.ts";

const block = () => new TransformerBlock({ width: 8, heads: 2, hidden: 16, activation: "gelu" });
const config = { rank: 3, alpha: 6 };

async function run(module: TransformerBlock, weights: ReadonlyMap<string, Float32Array>): Promise<Float32Array> {
  const outputs = { y: module.forward(input("x", [2, 5, 8])) };
  const program = await compile({ outputs, parameters: namedParameters(module), weights });
  const rng = new Rng("input");
  const { y } = await program.run({ x: Float32Array.from({ length: 80 }, () => rng.normal()) });
  await program.dispose();
  return y as Float32Array;
}

describe("low-rank adapters", () => {
  it("finds the linear layers of any module by their checkpoint names", () => {
    expect([...namedLinears(block()).keys()]).toEqual(["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]);
    expect([...namedLinears({ blocks: [block()] }).keys()][0]).toBe("blocks.0.attn.qkv");
  });

  it("changes nothing at first", async () => {
    const plain = block();
    const adapted = block();
    addAdapters(adapted, config, () => true);
    const base = initialWeights(plain, 1);
    const withAdapters = new Map([...initialWeights(adapted, 2), ...base]);
    expect(await run(adapted, withAdapters)).toEqual(await run(plain, base));
  });

  it("merged into the weights, computes what the adapted module does", async () => {
    const adapted = block();
    const names = addAdapters(adapted, config, (name) => name.startsWith("attn.") || name === "mlp.fc2");
    expect(names).toEqual(["attn.qkv", "attn.proj", "mlp.fc2"]);
    const base = initialWeights(block(), 1);
    const rng = new Rng("adapters");
    const adapters = new Map(
      [...namedParameters(adapted)]
        .filter(([name]) => name.includes(".adapter."))
        .map(([name, { size }]) => [name, Float32Array.from({ length: size }, () => rng.normal(0, 0.3))]),
    );
    expect(adapters.size).toBe(6);
    const expected = await run(adapted, new Map([...base, ...adapters]));
    const merged = mergeAdapters(base, adapters, config);
    const found = await run(block(), merged);
    for (let i = 0; i < expected.length; i++) expect(Math.abs(found[i] - expected[i])).toBeLessThan(1e-5);
    const plain = await run(block(), base);
    expect(Math.max(...plain.map((value, i) => Math.abs(value - expected[i])))).toBeGreaterThan(0.1);
    expect([...merged.keys()]).toEqual([...base.keys()]);
  });

  it("refuses a second adapter and one that does not fit", () => {
    const module = block();
    addAdapters(module, config, () => true);
    expect(() => addAdapters(module, config, () => true)).toThrow(ShapeError);
    const adapters = new Map([
      ["attn.proj.adapter.down", new Float32Array(3 * 9)],
      ["attn.proj.adapter.up", new Float32Array(8 * 3)],
    ]);
    expect(() => mergeAdapters(initialWeights(block(), 1), adapters, config)).toThrow(ShapeError);
  });
});
