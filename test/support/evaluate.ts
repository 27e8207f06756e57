import { Rng } from "../../src/core/rng.ts";
import { mul, sum } from "../../src/graph/broadcasting.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { constant, input, type Shape, sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { compile, type FeedData } from "../../src/runtime/program.ts";

/** Runs a small graph once. */
export async function evaluate(
  outputs: Record<string, Tensor>,
  feeds: Record<string, FeedData>,
  recompute = false,
): Promise<Record<string, Float32Array>> {
  const program = await compile({ outputs, threads: 1, recompute });
  try {
    return (await program.run(feeds)) as Record<string, Float32Array>;
  } finally {
    await program.dispose();
  }
}

export function randomData(shape: Shape, seed: number | string, low = -1, high = 1): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: sizeOf(shape) }, () => rng.uniform(low, high));
}

export interface GradientCase {
  shapes: readonly Shape[];
  data?: readonly Float32Array[];
  build: (...inputs: Tensor[]) => Tensor;
  step?: number;
}

/**
 * The largest error of the graph's gradients against central differences of ⟨output, random weights⟩, relative to the
 * largest difference of that input.
 */
export async function gradientError({ shapes, data, build, step = 1e-2 }: GradientCase): Promise<number> {
  const inputs = shapes.map((shape, i) => input(`x${i}`, shape));
  const values = data ?? shapes.map((shape, i) => randomData(shape, `input ${i}`));
  const output = build(...inputs);
  const weights = randomData(output.shape, "weights");
  const loss = sum(mul(output, constant(weights, output.shape)));
  const found = gradients(loss, inputs);
  const program = await compile({
    threads: 1,
    outputs: { output, ...Object.fromEntries(found.flatMap((g, i) => (g ? [[`g${i}`, g]] : []))) },
  });
  // The weighted sum is taken here in float64, so that the differences carry no rounding of a float32 sum.
  const lossAt = async (feeds: Record<string, FeedData>): Promise<number> => {
    const { output: y } = (await program.run(feeds)) as Record<string, Float32Array>;
    return y.reduce((total, value, i) => total + value * weights[i], 0);
  };
  const feeds = Object.fromEntries(values.map((value, i) => [`x${i}`, value]));
  const exact = (await program.run(feeds)) as Record<string, Float32Array>;
  let worst = 0;
  for (const [i, value] of values.entries()) {
    const gradient = exact[`g${i}`];
    if (!gradient) throw new Error(`no gradient for input ${i}`);
    const differences = new Float64Array(value.length);
    for (let k = 0; k < value.length; k++) {
      const [up, down] = [value.slice(), value.slice()];
      up[k] += step;
      down[k] -= step;
      const span = up[k] - down[k];
      differences[k] =
        ((await lossAt({ ...feeds, [`x${i}`]: up })) - (await lossAt({ ...feeds, [`x${i}`]: down }))) / span;
    }
    const scale = differences.reduce((largest, d) => Math.max(largest, Math.abs(d)), 1e-3);
    for (let k = 0; k < value.length; k++) worst = Math.max(worst, Math.abs(gradient[k] - differences[k]) / scale);
  }
  await program.dispose();
  return worst;
}
