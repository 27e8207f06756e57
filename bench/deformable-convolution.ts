/**
 * Ways to compute a modulated deformable 3×3 convolution, forward and with gradients, interleaved: ONNX's operator with
 * gathers for the gradient (what the code uses), and gathers for both.
 *
 *   npm run bench:deformable -- [--channels 256] [--rounds 9] [--threads 1]
 *
 * Ends with `ratio <number>`: the gathers' median time forward over the operator's at 52×52, higher is better.
 */
import { parseArgs } from "node:util";
import { Rng } from "../src/core/rng.ts";
import { add, mul, reshape, sum } from "../src/graph/broadcasting.ts";
import { deformableConvolution } from "../src/graph/deformable-convolution.ts";
import { gradients } from "../src/graph/gradients.ts";
import { linear } from "../src/graph/matrix.ts";
import { sampleBilinear } from "../src/graph/sampling.ts";
import { concat, slice, transpose } from "../src/graph/shaping.ts";
import { constant, input, type Tensor } from "../src/graph/tensor.ts";
import { patchIndices } from "../src/nn/patches.ts";
import { compile } from "../src/runtime/program.ts";

const { values } = parseArgs({
  options: {
    channels: { type: "string", default: "256" },
    rounds: { type: "string", default: "9" },
    threads: { type: "string", default: "1" },
  },
});
const [channels, rounds, threads] = [Number(values.channels), Number(values.rounds), Number(values.threads)];
const taps = 9;

interface Operands {
  x: Tensor;
  offsets: Tensor;
  factors: Tensor;
  weight: Tensor;
}

function withOperator({ x, offsets, factors, weight }: Operands, side: number): Tensor {
  const geometry = { height: side, width: side, stride: 1, padding: 1 };
  return deformableConvolution(x, { offsets, factors }, weight, undefined, geometry);
}

function withGathers({ x, offsets, factors, weight }: Operands, side: number): Tensor {
  const count = side * side;
  // Of the map with a border, so that every tap has a place; back to the map's own places by −1.
  const padded = side + 2;
  const standing = patchIndices({ height: padded, width: padded, kernel: 3, stride: 1, padding: 0 });
  const base = Float32Array.from({ length: 2 * standing.length }, (_, i) => {
    const token = standing[i >> 1];
    return (i % 2 ? Math.floor(token / padded) : token % padded) - 1;
  });
  const rowsFirst = reshape(offsets, [1, count * taps, 2]);
  const columnsFirst = concat([slice(rowsFirst, 2, 1, 2), slice(rowsFirst, 2, 0, 1)], 2);
  const places = add(columnsFirst, constant(base, [1, count * taps, 2]));
  const sampled = sampleBilinear(reshape(x, [1, side, side, channels]), places, reshape(factors, [1, count * taps]));
  const byTap = transpose(reshape(weight, [channels, channels, taps]), [0, 2, 1]);
  return linear(reshape(sampled, [1, count, taps * channels]), reshape(byTap, [channels, taps * channels]));
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;

let ratio = 0;
for (const side of [26, 52]) {
  const operands: Operands = {
    x: input("x", [1, side * side, channels]),
    offsets: input("offsets", [1, side * side, 2 * taps]),
    factors: input("factors", [1, side * side, taps]),
    weight: input("weight", [channels, channels, 3, 3]),
  };
  const rng = new Rng(side);
  const feeds = Object.fromEntries(
    Object.entries(operands).map(([name, { size }]) => [name, Float32Array.from({ length: size }, () => rng.normal())]),
  );
  const programs = await Promise.all(
    [withOperator, withGathers].map(async (build) => {
      const y = build(operands, side);
      const found = gradients(sum(mul(y, y)), Object.values(operands));
      const named = Object.fromEntries(found.map((gradient, i) => [`g${i}`, gradient as Tensor]));
      return {
        forward: await compile({ outputs: { y }, threads }),
        step: await compile({ outputs: { y, ...named }, threads }),
      };
    }),
  );
  for (const kind of ["forward", "step"] as const) {
    const pairs: number[][] = [];
    for (let round = 0; round <= rounds; round++) {
      const pair: number[] = [];
      for (const program of programs) {
        const started = performance.now();
        await program[kind].run(feeds);
        pair.push(performance.now() - started);
      }
      if (round > 0) pairs.push(pair); // the first round warms up
    }
    const [operator, gathers] = [0, 1].map((i) => median(pairs.map((pair) => pair[i])));
    const quotient = median(pairs.map(([first, second]) => second / first));
    console.log(
      `${side}×${side}×${channels} ${kind}: operator ${operator?.toFixed(1)} ms, gathers ${gathers?.toFixed(1)} ms, ratio ${quotient.toFixed(2)}`,
    );
    if (kind === "forward") ratio = quotient;
  }
}
console.log(`ratio ${ratio.toFixed(2)}`);
