/**
 * A detector's training step, forward and with the gradients of all parameters, against the same model in PyTorch with
 * torchvision's deformable convolution, the two interleaved: the bundled detector's shape at its 192 px, or with
 * `--part head` what stands on the image encoder (feature pyramid, Dynamic Head, ATSS head) at 416 px.
 *
 *   npm run bench:detection -- --python /usr/bin/python3 [--part head] [--preset fine] [--rounds 7] [--threads 2] [--batch 4]
 *
 * Ends with `ratio <number>`: PyTorch's median time of a step over ours, higher is better.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Rng } from "../src/core/rng.ts";
import { mul, reshape, sum } from "../src/graph/broadcasting.ts";
import { gradients } from "../src/graph/gradients.ts";
import { concat } from "../src/graph/shaping.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { AtssHead } from "../src/models/detection/atss-head.ts";
import { Detector, detectorPresets } from "../src/models/detection/detector.ts";
import { DynamicHead } from "../src/models/detection/dynamic-head.ts";
import { FeaturePyramid } from "../src/models/detection/feature-pyramid.ts";
import { coSwinPresets } from "../src/models/image-encoder/coswin-presets.ts";
import { initialWeights, namedParameters } from "../src/nn/module.ts";
import { TokenMap } from "../src/nn/token-map.ts";
import { compile, type FeedData } from "../src/runtime/program.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "/usr/bin/python3" },
    part: { type: "string", default: "detector" },
    preset: { type: "string", default: "fine" },
    rounds: { type: "string", default: "7" },
    threads: { type: "string", default: "2" },
    batch: { type: "string", default: "4" },
  },
});
const part = z.enum(["detector", "head"]).parse(values.part);
const [rounds, threads, batch] = [Number(values.rounds), Number(values.threads), Number(values.batch)];
const preset = detectorPresets[z.enum(["nano", "fine", "tiny", "paper"]).parse(values.preset)];
const [classCount, pixels, levelSide, channels] = [7, 192, 52, 256];
const encoder = { ...coSwinPresets.nano, imageSize: pixels, window: 4 };

type Kind = "forward" | "step";
type Timed = (kind: Kind) => Promise<number>; // milliseconds

/** What is timed, and its one input besides the weights. */
function createModel() {
  const { strides, width } = preset;
  const classes = { kind: "fixed", count: classCount } as const;
  if (part === "detector") {
    const detector = new Detector({ ...preset, image: encoder, classes });
    const pictures = input("pixels", [batch, pixels, pixels, 3], "uint8");
    return { parameters: detector.learnable, all: detector, data: pictures, ...detector.forward(pictures) };
  }
  const model = {
    pyramid: new FeaturePyramid({ inputs: [{ stride: strides[0], channels }], strides, width }),
    dynamicHead: new DynamicHead(preset),
    head: new AtssHead({ width, levels: strides.length, classes }),
  };
  const level = input("level", [batch, levelSide ** 2, channels]);
  const maps = model.dynamicHead.forward(model.pyramid.forward([new TokenMap(level, levelSide, levelSide)]));
  return { parameters: namedParameters(model), all: model, data: level, outputs: model.head.forward(maps) };
}

async function createOurs(): Promise<Timed> {
  const { parameters, all, data, outputs } = createModel();
  const { logits, deltas, centerness } = outputs;
  const output = concat([logits, deltas, reshape(centerness, [...centerness.shape, 1])], 2);
  const cotangent = input("cotangent", output.shape);
  const found = gradients(sum(mul(output, cotangent)), [...parameters.values()]);
  const byIndex = Object.fromEntries(found.map((gradient, i) => [`gradient/${i}`, gradient as Tensor]));
  const programs = {
    forward: await compile({ outputs: { output }, parameters, threads }),
    step: await compile({ outputs: { output, ...byIndex }, parameters, threads }),
  };
  const rng = new Rng(0);
  const noise = (count: number): Float32Array => Float32Array.from({ length: count }, () => rng.normal());
  // Offsets start at 0; with some of their own the samples lie apart, as in a trained model.
  const weights = [...initialWeights(all, 0)].map(([name, data]) => {
    return [name, name.includes("offset.weight") ? noise(data.length).map((value) => 0.05 * value) : data] as const;
  });
  const values = noise(data.size);
  const given = data.dtype === "uint8" ? Uint8Array.from(values, (value) => 128 + 40 * value) : values;
  const feeds = new Map<string, FeedData>(weights.filter(([name]) => parameters.has(name)));
  feeds.set(part === "detector" ? "pixels" : "level", given).set("cotangent", noise(cotangent.size));
  return async (kind) => {
    const started = performance.now();
    await programs[kind].run(feeds);
    return performance.now() - started;
  };
}

const readySchema = z.looseObject({ ready: z.literal(true), torch: z.string() });
const timeSchema = z.looseObject({ milliseconds: z.number() });

/** The PyTorch process: a line in, a line of JSON out. */
async function createTheirs(): Promise<{ version: string; run: Timed; end(): void }> {
  const script = new URL("../scripts/fixtures/torch_detection_step.py", import.meta.url).pathname;
  const { width, blocks, groups, strides } = preset;
  const input =
    part === "detector"
      ? { side: pixels, channels: encoder.width, window: encoder.window, "head-width": encoder.headWidth }
      : { side: levelSide, channels };
  const numbers = { batch, threads, classes: classCount, width, blocks, groups, ...input };
  const words = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  if (part === "detector") words.push("--depths", ...encoder.depths.map(String));
  const child = spawn(values.python, [script, ...words, "--strides", ...strides.map(String)]);
  child.stderr.pipe(process.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error("bench:detection: the PyTorch process ended early. Check that --python has torchvision");
    return JSON.parse(value as string);
  };
  const { torch: version } = readySchema.parse(await read());
  return {
    version,
    async run(kind) {
      child.stdin.write(`${kind}\n`);
      return timeSchema.parse(await read()).milliseconds;
    },
    end: () => void child.kill(),
  };
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;

const theirs = await createTheirs();
const ours = await createOurs();
const shown = part === "detector" ? pixels : levelSide * preset.strides[0];
console.log(
  `${part}, preset ${values.preset}, ${shown} px, batch ${batch}, ${threads} threads, PyTorch ${theirs.version}`,
);
let ratio = 0;
for (const kind of ["forward", "step"] as const) {
  await ours(kind);
  await theirs.run(kind);
  const pairs: [ours: number, theirs: number][] = [];
  for (let round = 0; round < rounds; round++) pairs.push([await ours(kind), await theirs.run(kind)]);
  ratio = median(pairs.map(([mine, other]) => other / mine));
  const [mine, other] = [0, 1].map((i) => median(pairs.map((pair) => pair[i] as number)).toFixed(0));
  console.log(`${kind}: ours ${mine} ms, PyTorch ${other} ms, ratio ${ratio.toFixed(2)}`);
}
theirs.end();
console.log(`ratio ${ratio.toFixed(2)}`);
