import { matmul } from "../src/graph/matrix.ts";
import { encodeOnnx } from "../src/graph/onnx-encoding.ts";
import { input, Parameter, type Tensor } from "../src/graph/tensor.ts";
import { InferenceSession } from "../src/runtime/inference-session.ts";

const width = 768;
const hidden = 4 * width;
const tokens = 50;
const patchValues = 32 * 32 * 3;
const layers = 12;

/** The matrix products of a ViT-B/32's linear layers, one after the other with nothing between. */
export interface TowerProducts {
  /** Multiplications and additions of a run. */
  readonly operations: number;
  run(): Promise<Float32Array>;
  release(): Promise<void>;
}

/**
 * What an image tower of float32 cannot be faster than: its products alone, as ONNX Runtime computes them, each with
 * weights of its own. Of the last layer only keys and values are made of all tokens.
 */
export async function towerProducts(batch: number, threads: number): Promise<TowerProducts> {
  const parameters = new Map<string, Parameter>();
  const weights = new Map<string, Float32Array>();
  let operations = 0;
  const product = (x: Tensor, outputs: number): Tensor => {
    const inputs = x.shape.at(-1) as number;
    const name = `weight${parameters.size}`;
    const weight = new Parameter([outputs, inputs], () => new Float32Array());
    parameters.set(name, weight);
    weights.set(name, noise(outputs * inputs, inputs ** -0.5));
    operations += 2 * (x.shape[0] as number) * (x.shape[1] as number) * inputs * outputs;
    return matmul(x, weight, { transposeB: true });
  };
  const patches = product(input("patches", [batch, tokens - 1, patchValues]), width);
  let x = input("tokens", [batch, tokens, width]);
  for (let layer = 0; layer < layers - 1; layer++) {
    for (let i = 0; i < 4; i++) x = product(x, width); // queries, keys, values, what leaves the attention
    x = product(product(x, hidden), width);
  }
  for (let i = 0; i < 2; i++) x = product(x, width);
  const encoded = encodeOnnx({ outputs: { embedded: patches, result: x }, parameters, weights, externalWeights: true });
  const session = await InferenceSession.load(encoded, threads);
  const feeds = {
    patches: { data: noise(batch * (tokens - 1) * patchValues, 1), dims: [batch, tokens - 1, patchValues] },
    tokens: { data: noise(batch * tokens * width, 1), dims: [batch, tokens, width] },
  };
  return {
    operations,
    run: async () => (await session.runAll(feeds, ["embedded", "result"])).result,
    release: () => session.release(),
  };
}

function noise(length: number, scale: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => scale * (((i * 7919) % 2003) / 1001 - 1));
}
