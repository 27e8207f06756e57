/**
 * A detector's training step (the bundled detector's shape at its side) as one program in all threads, and as parts of the
 * batch side by side in a thread each, the two in turn.
 *
 *   npm run bench:sharding -- [--rounds 9] [--batch 4] [--threads 2]
 *
 * Ends with `ratio <number>`: the time of one program over that of the parts, median of the rounds; higher is better.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Rng } from "../src/core/rng.ts";
import { gradients } from "../src/graph/gradients.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { Detector } from "../src/models/detection/detector.ts";
import { detectorGrid } from "../src/models/detection/detector-graph.ts";
import type { FeedData } from "../src/runtime/program.ts";
import { ShardedProgram, type Sharding, shardingOf } from "../src/runtime/sharded-program.ts";
import { detectionLosses, targetInputs } from "../src/tasks/detection/losses.ts";
import { readDetector } from "../src/zoo/detector-files.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    batch: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
  },
});
const [rounds, batch, threads] = [Number(values.rounds), Number(values.batch), Number(values.threads)];
const read = await readDetector(fileURLToPath(new URL("../weights/florence-nano-detector", import.meta.url)));
const detector = new Detector(read.architecture);
const { side } = read.preprocessing;
const parameters = detector.learnable;
const weights = new Map([...parameters.keys()].map((name) => [name, read.weights.get(name) as Float32Array]));
const { count } = detectorGrid(detector, { height: side, width: side });

async function createStep(sharding: Sharding): Promise<{ run(): Promise<number>; dispose(): Promise<void> }> {
  const size = batch / sharding.shards;
  const { outputs, grid } = detector.forward(input("pixels", [size, side, side, 3], "uint8"));
  const losses = detectionLosses(outputs, targetInputs(size, count), grid);
  const found = gradients(losses.total, [...parameters.values()]);
  const named = Object.fromEntries(found.map((gradient, i) => [`gradient/${i}`, gradient as Tensor]));
  const program = await ShardedProgram.create({ outputs: { loss: losses.total, ...named }, parameters }, sharding);
  const rng = new Rng("sharding");
  const boxes = Float32Array.from({ length: 4 * size * count }, (_, i) => (i % 4 < 2 ? 40 : 120) + rng.uniform());
  const part = new Map<string, FeedData>([
    ["pixels", Uint8Array.from({ length: size * side * side * 3 }, () => rng.int(256))],
    ["targets/classes", Int32Array.from({ length: size * count }, () => (rng.uniform() < 0.02 ? 0 : -1))],
    ["targets/boxes", boxes],
    ["targets/centerness", Float32Array.from({ length: size * count }, () => rng.uniform())],
  ]);
  const totals = ["targets/positives", "targets/centernessSum"].map((name) => [name, Float32Array.of(50)] as const);
  const shared = new Map<string, FeedData>([...weights, ...totals]);
  return {
    async run() {
      const started = performance.now();
      await program.run(
        shared,
        Array.from({ length: sharding.shards }, () => part),
      );
      return performance.now() - started;
    },
    dispose: () => program.dispose(),
  };
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;

const parts = shardingOf(batch, threads);
const [one, several] = [await createStep({ shards: 1, threads }), await createStep(parts)];
const pairs: [one: number, several: number][] = [];
for (let round = -1; round < rounds; round++) {
  const pair: [number, number] = [await one.run(), await several.run()];
  if (round >= 0) pairs.push(pair); // the first is to warm up
}
await one.dispose();
await several.dispose();
const [first, second] = [0, 1].map((i) => median(pairs.map((pair) => pair[i] as number)));
const what = `${parts.shards} parts of ${batch / parts.shards} pictures in ${parts.threads} threads each`;
console.log(
  `a step of ${batch} pictures at ${side} px: ${first?.toFixed(0)} ms in ${threads} threads, ${second?.toFixed(0)} ms as ${what}`,
);
console.log(`ratio ${median(pairs.map(([a, b]) => a / b)).toFixed(2)}`);
