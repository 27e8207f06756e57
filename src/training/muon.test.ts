import { describe, expect, it } from "vitest";
import { randomData } from "../../test/support/evaluate.ts";
import { UserError } from "../core/errors.ts";
import type { WeightTensor } from "../io/safetensors.ts";
import { Muon, type MuonOptions } from "./muon.ts";
import type { TensorMap } from "./optimizer.ts";

const shapes: Record<string, number[]> = { wide: [4, 6], tall: [6, 4], kernel: [4, 2, 1, 3], bias: [4] };
const options: MuonOptions = {
  rateScale: 10,
  weightDecay: 0.1,
  isHiddenMatrix: (_name, shape) => shape.length >= 2,
  adamw: { weightDecay: 0 },
};

const tensors = (label: string): Map<string, WeightTensor> =>
  new Map(
    Object.entries(shapes).map(([name, shape]) => [name, { shape, data: randomData(shape, `${label} ${name}`) }]),
  );

const gradientsOf = (label: string): Map<string, Float32Array> =>
  new Map([...tensors(label)].map(([name, { data }]) => [name, data]));

const copyOf = (map: TensorMap): Map<string, WeightTensor> =>
  new Map([...map].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));

const dataOf = (map: TensorMap) => Object.fromEntries([...map].map(([name, { data }]) => [name, Array.from(data)]));

describe("Muon", () => {
  it("moves a hidden matrix by a near-orthogonal direction, whatever the size of its gradient", async () => {
    const moves: Float32Array[] = [];
    for (const size of [1e-3, 1e3]) {
      const weights = tensors("start");
      const before = (weights.get("wide") as WeightTensor).data.slice();
      const optimizer = await Muon.create(weights, { ...options, weightDecay: 0 });
      const gradients = gradientsOf("gradient");
      gradients.set(
        "wide",
        (gradients.get("wide") as Float32Array).map((value) => value * size),
      );
      expect((await optimizer.step(gradients, 0.01)).applied).toBe(true);
      moves.push((weights.get("wide") as WeightTensor).data.map((value, i) => (before[i] - value) / 0.1));
    }
    for (let row = 0; row < 4; row++) {
      const norm = Math.hypot(...moves[0].subarray(row * 6, row * 6 + 6));
      expect(Math.abs(norm - 1), `row ${row}: ${norm}`).toBeLessThan(0.35);
    }
    for (const [i, value] of moves[0].entries()) expect(value).toBeCloseTo(moves[1][i], 3);
  });

  it("updates a kernel as the matrix [out, rest], and a tall matrix by √(rows/columns) more", async () => {
    const moved = async (name: string, shape: number[], gradient: Float32Array) => {
      const weights = new Map([[name, { shape, data: new Float32Array(gradient.length) }]]);
      await (await Muon.create(weights, options)).step(new Map([[name, gradient]]), 0.01);
      return (weights.get(name) as WeightTensor).data;
    };
    const gradient = randomData([4, 6], "kernel");
    expect(await moved("x", [4, 2, 1, 3], gradient)).toEqual(await moved("x", [4, 6], gradient));
    const norm = Math.hypot(...(await moved("x", [4, 6], gradient)));
    const turned = Float32Array.from(gradient, (_, i) => gradient[(i % 4) * 6 + Math.floor(i / 4)]);
    expect(Math.hypot(...(await moved("x", [6, 4], turned))) / norm).toBeCloseTo(Math.sqrt(6 / 4), 3);
  });

  it("moves each matrix at its own factor on the rate", async () => {
    const moved = async (learningRateScale?: MuonOptions["learningRateScale"]) => {
      const weights = new Map([...tensors("start")].filter(([name]) => name !== "bias"));
      const before = copyOf(weights);
      const plain = { ...options, weightDecay: 0, ...(learningRateScale ? { learningRateScale } : {}) };
      await (await Muon.create(weights, plain)).step(gradientsOf("gradient"), 0.01);
      const lengthOf = (name: string) =>
        Math.hypot(...(weights.get(name) as WeightTensor).data.map((v, i) => v - (before.get(name)?.data[i] ?? 0)));
      return { wide: lengthOf("wide"), tall: lengthOf("tall") };
    };
    const [one, scaled] = [await moved(), await moved((name) => (name === "wide" ? 0.1 : 1))];
    expect(scaled.wide / one.wide).toBeCloseTo(0.1, 3);
    expect(scaled.tall).toBe(one.tall);
  });

  it("decays hidden matrices alone", async () => {
    const weights = tensors("start");
    const before = copyOf(weights);
    const none = new Map([...weights].map(([name, { data }]) => [name, new Float32Array(data.length)]));
    await (await Muon.create(weights, options)).step(none, 0.5);
    const [tall, bias] = ["tall", "bias"].map((name) => (weights.get(name) as WeightTensor).data);
    for (const [i, value] of tall.entries()) {
      expect(value).toBeCloseTo((before.get("tall") as WeightTensor).data[i] * 0.95, 6);
    }
    expect(Array.from(bias)).toEqual(Array.from((before.get("bias") as WeightTensor).data));
  });

  it("continues bit for bit from a restored state", async () => {
    const unbroken = tensors("start");
    const first = await Muon.create(unbroken, options);
    for (let i = 0; i < 3; i++) await first.step(gradientsOf(`step ${i}`), 0.01);
    const resumed = copyOf(unbroken);
    const second = await Muon.create(resumed, options);
    second.restore(copyOf(first.state()), first.steps);
    expect(second.steps).toBe(3);
    for (let i = 3; i < 6; i++) {
      await first.step(gradientsOf(`step ${i}`), 0.01);
      await second.step(gradientsOf(`step ${i}`), 0.01);
    }
    expect(dataOf(resumed)).toEqual(dataOf(unbroken));
    expect(dataOf(second.state())).toEqual(dataOf(first.state()));
  });

  it("refuses a state that lacks a momentum", async () => {
    const optimizer = await Muon.create(tensors("start"), options);
    const state = copyOf(optimizer.state());
    state.delete("momentum/tall");
    expect(() => optimizer.restore(state, 1)).toThrow(UserError);
    expect(() => optimizer.restore(state, 1)).toThrow("momentum/tall");
  });

  it.each(["wide", "tall", "kernel", "bias"])(
    "changes nothing at a gradient of %s that is not finite",
    async (name) => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const weights = tensors("start");
        const optimizer = await Muon.create(weights, options);
        await optimizer.step(gradientsOf("good"), 0.01);
        const before = [dataOf(weights), dataOf(optimizer.state()), optimizer.steps];
        const gradients = gradientsOf("bad");
        (gradients.get(name) as Float32Array)[1] = bad;
        const report = await optimizer.step(gradients, 0.01);
        expect(report.applied).toBe(false);
        expect([dataOf(weights), dataOf(optimizer.state()), optimizer.steps]).toEqual(before);
      }
    },
  );
});
