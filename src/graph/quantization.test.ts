import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { linear } from "./matrix.ts";
import { encodeOnnx } from "./onnx-encoding.ts";
import { quantizeWeight } from "./quantization.ts";
import { slice } from "./shaping.ts";
import { input, Parameter, type Tensor } from "./tensor.ts";

const [rows, inputs, outputs] = [5, 64, 24];
const rng = new Rng("quantization");
const random = (length: number, scale = 1) => Float32Array.from({ length }, () => rng.normal(0, scale));

describe("quantizeWeight", () => {
  it("gives bytes and scales that multiply back to within half a step, transposed", () => {
    const weight = random(outputs * inputs);
    for (let i = 0; i < inputs; i++) weight[i] *= 1000; // a row of another size has a scale of its own
    weight.fill(0, inputs, 2 * inputs);
    const { values, scales } = quantizeWeight(weight, outputs);
    for (let o = 0; o < outputs; o++) {
      let largest = 0;
      for (let i = 0; i < inputs; i++) {
        const value = values[i * outputs + o];
        largest = Math.max(largest, Math.abs(value));
        expect(Math.abs(value * scales[o] - weight[o * inputs + i])).toBeLessThanOrEqual(scales[o] * 0.500001);
      }
      expect(largest).toBe(o === 1 ? 0 : 127);
    }
  });
});

describe("encodeOnnx with precision int8", () => {
  const weight = new Parameter([outputs, inputs], () => undefined);
  const bias = new Parameter([outputs], () => undefined);
  const parameters = new Map([
    ["weight", weight],
    ["bias", bias],
  ]);
  const weights = new Map([
    ["weight", random(outputs * inputs, 0.1)],
    ["bias", random(outputs)],
  ]);
  const data = random(rows * inputs);

  async function run(y: Tensor, precision: "float32" | "int8", externalWeights = false) {
    const { bytes, external } = encodeOnnx({ outputs: { y }, parameters, weights, precision, externalWeights });
    const session = await ort.InferenceSession.create(bytes, {
      externalData: external.map(({ path, data: values }) => ({
        path,
        data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      })),
    });
    const found = await session.run({ x: new ort.Tensor("float32", data, [rows, inputs]) });
    await session.release();
    return { y: found.y.data as Float32Array, bytes: bytes.length, external: external.map(({ path }) => path) };
  }

  const x = input("x", [rows, inputs]);
  it.each([
    ["a whole weight", () => linear(x, weight, bias)],
    ["a weight without bias", () => linear(x, weight)],
    ["rows of a weight", () => linear(x, slice(weight, 0, 4, 20), slice(bias, 0, 4, 20))],
  ])("computes %s in bytes, close to float32 and not equal to it", async (_, build) => {
    const [exact, rough] = [await run(build(), "float32"), await run(build(), "int8")];
    const error = Math.max(...exact.y.map((value, i) => Math.abs(value - rough.y[i])));
    const size = Math.max(...exact.y.map(Math.abs));
    expect(error / size).toBeLessThan(0.03);
    expect(error).toBeGreaterThan(1e-6);
    expect(rough.bytes).toBeLessThan(0.5 * exact.bytes);
  });

  it("adds a bias by itself where it is asked to, with the same results", async () => {
    const outputsOf = { y: linear(x, weight, bias) };
    const encoded = encodeOnnx({ outputs: outputsOf, parameters, weights, inference: true });
    expect(encoded.nodeCount).toBe(encodeOnnx({ outputs: outputsOf, parameters, weights }).nodeCount + 1);
    const session = await ort.InferenceSession.create(encoded.bytes);
    const found = await session.run({ x: new ort.Tensor("float32", data, [rows, inputs]) });
    await session.release();
    const joint = await run(linear(x, weight, bias), "float32");
    const error = Math.max(...joint.y.map((value, i) => Math.abs(value - (found.y.data as Float32Array)[i])));
    expect(error).toBeLessThan(1e-5);
  });

  it("leaves large values out of the file where it is asked to, with the same results", async () => {
    const inside = await run(linear(x, weight, bias), "float32");
    const outside = await run(linear(x, weight, bias), "float32", true);
    expect(outside.external).toEqual(["weight"]); // the bias is small
    expect(outside.y).toEqual(inside.y);
    expect(inside.bytes - outside.bytes).toBeGreaterThan(weight.size * 4 - 200);
  });
});
