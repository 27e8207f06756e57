import onnxProto from "onnx-proto";
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { add, mul, sum } from "./broadcasting.ts";
import { gradients } from "./gradients.ts";
import { linear } from "./matrix.ts";
import { layerNorm } from "./normalization.ts";
import { type EncodingOptions, encodeOnnx } from "./onnx-encoding.ts";
import { alias, constant, input, Parameter, type Tensor } from "./tensor.ts";

const decode = (options: EncodingOptions) => onnxProto.onnx.ModelProto.decode(encodeOnnx(options).bytes);
const noParameters = new Map<string, Parameter>();
const filledWith = (value: number) => (data: Float32Array) => void data.fill(value);

/** y = x·Wᵀ + b, and the gradient of Σ y by W. */
function smallModel() {
  const weight = new Parameter([2, 3], filledWith(1));
  const bias = new Parameter([2], filledWith(0));
  const y = linear(input("x", [4, 3]), weight, bias);
  const parameters = new Map([["weight", weight] as const, ["bias", bias] as const]);
  return { y, toWeight: gradients(sum(y), [weight])[0] as Tensor, parameters };
}

describe("encodeOnnx", () => {
  it("writes a model that ONNX Runtime loads and runs, parameters fed by name", async () => {
    const { y, toWeight, parameters } = smallModel();
    const { bytes, inputs } = encodeOnnx({ parameters, outputs: { y, toWeight } });
    expect(inputs.map(({ name, tensor }) => [name, tensor.shape])).toEqual([
      ["x", [4, 3]],
      ["weight", [2, 3]],
      ["bias", [2]],
    ]);
    const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
    const results = await session.run({
      x: new ort.Tensor(
        "float32",
        Float32Array.from({ length: 12 }, (_, i) => i),
        [4, 3],
      ),
      weight: new ort.Tensor("float32", Float32Array.of(1, 0, 0, 0, 2, 0), [2, 3]),
      bias: new ort.Tensor("float32", Float32Array.of(10, 20), [2]),
    });
    expect([...(results.y.data as Float32Array)]).toEqual([10, 22, 13, 28, 16, 34, 19, 40]);
    expect([...(results.toWeight.data as Float32Array)]).toEqual([18, 22, 26, 18, 22, 26]);
    await session.release();
  });

  it("writes the gradients of weights last, the first layer's before the last layer's", () => {
    const weights = Array.from({ length: 3 }, () => new Parameter([2, 2], filledWith(1)));
    const layers = weights.reduce<Tensor>((x, weight) => mul(linear(x, weight), 2), input("x", [4, 2]));
    const found = gradients(sum(layers), weights);
    const outputs = Object.fromEntries(found.map((gradient, i) => [`gradient${i}`, gradient as Tensor]));
    const parameters = new Map(weights.map((weight, i) => [`weight${i}`, weight]));
    const nodes = decode({ parameters, outputs }).graph?.node ?? [];
    const producers = [0, 1, 2].map((i) => {
      const copied = nodes.find(({ output }) => output?.[0] === `gradient${i}`)?.input?.[0] as string;
      return nodes.findIndex(({ output }) => output?.includes(copied));
    });
    const last = nodes.length - found.length; // where the copies to the outputs begin
    expect(producers).toEqual([last - 3, last - 2, last - 1]);
  });

  it("states opset, shapes, types and metadata", () => {
    const { y, parameters } = smallModel();
    const model = decode({ parameters, outputs: { y }, metadata: { licence: "MIT" } });
    expect(model.opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([
      ["", 20],
      ["com.microsoft", 1],
    ]);
    expect(model.metadataProps.map(({ key, value }) => [key, value])).toEqual([["licence", "MIT"]]);
    const output = model.graph?.output?.[0];
    expect(output?.name).toBe("y");
    expect(output?.type?.tensorType?.elemType).toBe(1);
    expect(output?.type?.tensorType?.shape?.dim?.map(({ dimValue }) => Number(dimValue))).toEqual([4, 2]);
  });

  it("builds given weights in and asks for the others", () => {
    const { y, parameters } = smallModel();
    const options = { parameters, outputs: { y }, weights: new Map([["weight", new Float32Array(6)]]) };
    expect(encodeOnnx(options).inputs.map(({ name }) => name)).toEqual(["x", "bias"]);
    expect(decode(options).graph?.initializer?.map(({ name }) => name)).toContain("weight");
  });

  it("keeps equal small constants once, and apart by type and shape", () => {
    const x = input("x", [2]);
    const pair = () => constant(Float32Array.of(3, 4), [2]);
    const y = add(mul(add(x, pair()), pair()), 7);
    expect(decode({ parameters: noParameters, outputs: { y, z: mul(y, 7) } }).graph?.initializer).toHaveLength(2);
    const apart = add(add(x, pair()), constant(Float32Array.of(3, 4), [2, 1]));
    expect(decode({ parameters: noParameters, outputs: { apart } }).graph?.initializer).toHaveLength(2);
  });

  it("tells large constants of one shape apart", async () => {
    const large = (value: number) => constant(new Float32Array(40).fill(value), [40]);
    const y = sum(add(large(1), large(2)));
    const { bytes } = encodeOnnx({ parameters: noParameters, outputs: { y } });
    const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
    expect((await session.run({})).y.data[0]).toBe(120);
    await session.release();
  });

  it("writes no operator for an alias, none that no output needs, and no optional output that nobody reads", () => {
    const x = input("x", [2, 3]);
    const normal = layerNorm(x, constant(Float32Array.of(1, 1, 1), [3]), constant(new Float32Array(3), [3]));
    const unread = mul(x, 2);
    const [copy] = alias([normal], [x], () => []);
    const graph = decode({ parameters: noParameters, outputs: { copy } }).graph;
    expect(unread.shape).toEqual([2, 3]);
    expect(graph?.node?.map(({ opType }) => opType)).toEqual(["LayerNormalization", "Identity"]);
    expect(graph?.node?.[0].output).toHaveLength(1);
  });

  it("refuses a parameter without a name", () => {
    const { y } = smallModel();
    expect(() => encodeOnnx({ parameters: noParameters, outputs: { y } })).toThrow(
      /^encodeOnnx: every parameter in the graph must be named/,
    );
  });

  it("refuses weights of another size", () => {
    const { y, parameters } = smallModel();
    const weights = new Map([["weight", new Float32Array(5)]]);
    expect(() => encodeOnnx({ parameters, outputs: { y }, weights })).toThrow(
      "encodeOnnx: weight must hold 6 values, got 5",
    );
  });

  it("refuses one name for two things", () => {
    const { y, toWeight, parameters } = smallModel();
    expect(() => encodeOnnx({ parameters, outputs: { y, weight: toWeight } })).toThrow("got weight twice");
    const twins = add(input("x", [2]), input("x", [2]));
    expect(() => encodeOnnx({ parameters: noParameters, outputs: { twins } })).toThrow("got x twice");
  });
});
