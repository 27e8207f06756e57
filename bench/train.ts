/**
 * A full CoSwin-T training step (forward, UniCL, backward, clipping, AdamW) at 224 px, batch 8, against the same model
 * in PyTorch, the two interleaved; then the throughput of nano's own training step.
 *
 *   npm run bench:train -- --python /usr/bin/python3 [--rounds 7] [--threads 2]
 *
 * Ends with `ratio <number>`: PyTorch's median time over ours, higher is better.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Rng } from "../src/core/rng.ts";
import { gradients } from "../src/graph/gradients.ts";
import { normalizeL2 } from "../src/graph/softmax.ts";
import { input, Parameter, type Tensor } from "../src/graph/tensor.ts";
import { CoSwin } from "../src/models/image-encoder/coswin.ts";
import { coSwinPresets } from "../src/models/image-encoder/coswin-presets.ts";
import { initialLogitScale } from "../src/models/two-tower.ts";
import { Linear } from "../src/nn/linear.ts";
import { constantValue, initialWeights, namedParameters } from "../src/nn/module.ts";
import { compile } from "../src/runtime/program.ts";
import { uniclLoss } from "../src/tasks/pretrain/unicl-loss.ts";
import { AdamW } from "../src/training/adamw.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "/usr/bin/python3" },
    rounds: { type: "string", default: "7" },
    threads: { type: "string", default: "2" },
    batch: { type: "string", default: "8" },
  },
});
const [rounds, threads, batch] = [Number(values.rounds), Number(values.threads), Number(values.batch)];
const size = 224;
const embedding = 512;

/** One training step of ours, in milliseconds. */
async function createOurStep(): Promise<() => Promise<number>> {
  const model = {
    imageEncoder: new CoSwin(coSwinPresets.T),
    imageProjection: new Linear({ inputs: 768, outputs: embedding, bias: false }),
    logitScale: new Parameter([], constantValue(initialLogitScale)),
  };
  const pixels = input("pixels", [batch, size, size, 3], "uint8");
  const texts = input("texts", [batch, embedding]);
  const labels = input("labels", [batch], "int64");
  const images = normalizeL2(model.imageProjection.forward(model.imageEncoder.forward(pixels).pooled));
  const loss = uniclLoss(images, texts, labels, model.logitScale);
  const parameters = namedParameters(model);
  const names = [...parameters.keys()];
  const found = gradients(loss, [...parameters.values()]);
  const outputs: Record<string, Tensor> = { loss };
  for (const [i, name] of names.entries()) outputs[`gradient/${name}`] = found[i] as Tensor;
  const program = await compile({ outputs, parameters, threads });
  const start = initialWeights(model, 0);
  const weights = new Map(
    names.map((name) => [
      name,
      { shape: (parameters.get(name) as Parameter).shape, data: start.get(name) as Float32Array },
    ]),
  );
  const optimizer = new AdamW(weights, { clipNorm: 5, weightDecay: 0.05 });
  const rng = new Rng(0);
  const feeds = new Map<string, Float32Array | Uint8Array | BigInt64Array>(start);
  feeds.set(
    "pixels",
    Uint8Array.from({ length: pixels.size }, () => rng.int(256)),
  );
  feeds.set(
    "texts",
    Float32Array.from({ length: batch * embedding }, () => rng.normal(0, embedding ** -0.5)),
  );
  feeds.set(
    "labels",
    BigInt64Array.from({ length: batch }, (_, i) => BigInt(i)),
  );
  return async () => {
    const started = performance.now();
    const results = await program.run(feeds);
    optimizer.step(new Map(names.map((name) => [name, results[`gradient/${name}`] as Float32Array])), 1e-4);
    return performance.now() - started;
  };
}

const readySchema = z.looseObject({ ready: z.literal(true), torch: z.string() });
const stepSchema = z.looseObject({ milliseconds: z.number() });

/** The PyTorch process: a line `step` in, a line of JSON out. */
class TorchProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string) {
    // These two variables slow a current BLAS down; the peer runs without them.
    const { OPENBLAS_CORETYPE: _type, OPENBLAS_L2_SIZE: _size, ...environment } = process.env;
    const script = new URL("../scripts/fixtures/torch_training_step.py", import.meta.url).pathname;
    const words = [script, "--batch", String(batch), "--threads", String(threads), "--size", String(size)];
    this.#child = spawn(python, words, { env: environment });
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async read(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("bench:train: the PyTorch process ended early. Check that --python has torch");
    return JSON.parse(value as string);
  }

  async step(): Promise<number> {
    this.#child.stdin.write("step\n");
    return stepSchema.parse(await this.read()).milliseconds;
  }

  end(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;

const torch = new TorchProcess(values.python);
const { torch: version } = readySchema.parse(await torch.read());
const ourStep = await createOurStep();
await ourStep();
await torch.step();
const pairs: [ours: number, theirs: number][] = [];
for (let round = 0; round < rounds; round++) {
  const pair: [number, number] = [await ourStep(), await torch.step()];
  pairs.push(pair);
  console.log(`round ${round + 1}: ours ${pair[0].toFixed(0)} ms, PyTorch ${version} ${pair[1].toFixed(0)} ms`);
}
torch.end();
console.log(`CoSwin-T, ${size} px, batch ${batch}, ${threads} threads, median of ${rounds}:`);
console.log(
  `ours ${median(pairs.map(([ours]) => ours)).toFixed(0)} ms, PyTorch ${version} ${median(pairs.map(([, theirs]) => theirs)).toFixed(0)} ms`,
);
console.log(`ratio ${median(pairs.map(([ours, theirs]) => theirs / ours)).toFixed(2)}`);
process.exit(0);
