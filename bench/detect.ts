/**
 * Detection at run time: pictures a second of a detector as `florence detect` runs it, what of a picture's time each
 * stage takes, and what more labels cost.
 *
 *   npm run bench:detect -- [--detector DIR] [--side 416] [--pictures 48] [--threads 2]
 *
 * Without `--detector` it makes one: the nano preset on the bundled florence-nano's image encoder, classes by text, weights
 * at random, so that speed is real and what is found is not.
 */
import { cp, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Rng } from "../src/core/rng.ts";
import { type LetterboxedImage, letterboxImage } from "../src/data/box-transforms/letterboxed-image.ts";
import { type OpenedDetection, openDetection } from "../src/evaluation/open-detection.ts";
import { encodeOnnx } from "../src/graph/onnx-encoding.ts";
import { input } from "../src/graph/tensor.ts";
import { decodeImage } from "../src/io/images.ts";
import { decodeDetections, type RawDetections } from "../src/models/detection/decode-detections.ts";
import { Detector, detectorPresets } from "../src/models/detection/detector.ts";
import { detectorGrid, detectorOutputsGraph } from "../src/models/detection/detector-graph.ts";
import type { CoSwinConfig } from "../src/models/image-encoder/coswin.ts";
import { initialWeights, namedParameters } from "../src/nn/module.ts";
import { InferenceSession } from "../src/runtime/inference-session.ts";
import { cropAround } from "../src/tasks/detection/box-crops.ts";
import { detectFiles } from "../src/tasks/detection/detection.ts";
import { readCheckpoint } from "../src/zoo/checkpoint-formats.ts";
import { readDetector, saveDetector } from "../src/zoo/detector-files.ts";
import { loadDetector } from "../src/zoo/load-detector.ts";
import { loadModel } from "../src/zoo/load-model.ts";

const { values } = parseArgs({
  options: {
    detector: { type: "string" },
    side: { type: "string", default: "416" },
    pictures: { type: "string", default: "48" },
    threads: { type: "string", default: String(availableParallelism()) },
  },
});
const [side, count, threads] = [Number(values.side), Number(values.pictures), Number(values.threads)];
const root = join(import.meta.dirname, "..");
const crops = 50;
const group = 8; // pictures that a detector is given at once

interface LabelRun {
  readonly name: string;
  readonly opened: OpenedDetection;
  readonly seconds: readonly string[];
  readonly rates: number[]; // pictures a second, round by round
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;

async function milliseconds(rounds: number, work: () => unknown): Promise<number> {
  await work();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return median(times);
}

/** A detector of random weights at the side asked for, on the bundled model's encoder. */
async function writeDetector(folder: string, fingerprint: string): Promise<void> {
  const { architecture, weights: towers } = await readCheckpoint(join(root, "weights/florence-nano"));
  const image: CoSwinConfig = { ...(architecture.image as CoSwinConfig), imageSize: side, window: 4 };
  const detector = new Detector({
    ...detectorPresets.nano,
    image,
    classes: { kind: "text", embedding: architecture.embedding },
  });
  const weights = initialWeights(detector, 0);
  for (const [name, data] of towers) if (weights.get(name)?.length === data.length) weights.set(name, data);
  await saveDetector(folder, {
    name: "random",
    architecture: detector.config,
    weights,
    classes: { kind: "text", embedder: { name: "florence-nano", fingerprint }, templates: ["{}"] },
    preprocessing: { side, padding: "square" },
    backbone: { name: "florence-nano", fingerprint, frozen: true },
  });
}

function row(stage: string, time: number, total: number): void {
  console.log(`| ${stage} | ${time.toFixed(2)} | ${((100 * time) / total).toFixed(0)} % |`);
}

async function stages(folder: string, files: readonly string[]): Promise<void> {
  const read = await readDetector(folder);
  const detector = new Detector(read.architecture);
  const { classes } = read.architecture;
  const parameters = namedParameters(detector);
  const size = { height: read.preprocessing.side, width: read.preprocessing.side };
  const config = { ...read.preprocessing, padding: "square", stride: 1 } as const;
  const images = await Promise.all(files.slice(0, 8).map((file) => decodeImage(file)));
  let canvases: LetterboxedImage[] = [];
  const per = (time: number): number => time / images.length;
  const decoding = per(await milliseconds(3, () => Promise.all(files.slice(0, 8).map((file) => decodeImage(file)))));
  const resizing = per(
    await milliseconds(3, () => {
      canvases = images.map((image) => letterboxImage(image, config));
    }),
  );
  const pixels = (canvases[0] as LetterboxedImage).data;
  const levels = detector.imageEncoder.forward(input("pixels", [1, size.height, size.width, 3], "uint8")).levels;
  const outputs = Object.fromEntries(levels.map(({ tokens }, i) => [`level${i}`, tokens]));
  const encoder = await InferenceSession.load(
    encodeOnnx({ outputs, parameters, weights: read.weights, inference: true }),
    threads,
  );
  const whole = await InferenceSession.load(
    encodeOnnx({ ...detectorOutputsGraph(detector, size), parameters, weights: read.weights, inference: true }),
    threads,
  );
  const labels = unitVectors(10, classes.kind === "text" ? classes.embedding : 1);
  const feeds = {
    pixels: { data: pixels, dims: [1, size.height, size.width, 3] },
    ...(classes.kind === "text" && { texts: { data: labels, dims: [10, classes.embedding] } }),
  };
  let raw = {} as RawDetections;
  const times = { encoder: [] as number[], whole: [] as number[] };
  for (let round = 0; round < 11; round++) {
    // In turn, so that what else the machine does meets both.
    times.encoder.push(await milliseconds(1, () => encoder.runAll({ pixels: feeds.pixels }, Object.keys(outputs))));
    times.whole.push(
      await milliseconds(1, async () => {
        raw = await whole.runAll(feeds, ["logits", "deltas", "centerness"]);
      }),
    );
  }
  const [encoding, computing] = [median(times.encoder.slice(2)), median(times.whole.slice(2))];
  await encoder.release();
  await whole.release();
  const grid = detectorGrid(detector, size);
  const classCount = raw.logits.length / raw.centerness.length;
  const threshold = 0.02;
  const suppressing = await milliseconds(9, () =>
    decodeDetections(raw, grid, classCount, { ...size, scoreThreshold: threshold, limit: 200 }),
  );
  await using model = await loadModel("florence-nano", { threads });
  const boxes = Array.from({ length: crops }, (_, i) => [10 * i, 5 * i, 10 * i + 90, 5 * i + 70] as const);
  const parts = boxes.map((box) => cropAround(images[0] as (typeof images)[number], box, 0.1));
  const naming = await milliseconds(5, () => model.embedImages(parts));
  const total = decoding + resizing + computing + suppressing + naming;
  console.log(`\n| stage, one picture alone, ${threads} threads | ms | share |\n|---|---|---|`);
  row("decoding", decoding, total);
  row("letterbox", resizing, total);
  row("image encoder", encoding, total);
  row("pyramid, Dynamic Head, ATSS head", computing - encoding, total);
  row(`decoding of boxes and suppression, ${grid.count} places × ${classCount}`, suppressing, total);
  row(`naming of ${crops} crops by florence-nano (--method crops only)`, naming, total);
}

function unitVectors(rows: number, width: number): Float32Array {
  const rng = new Rng("labels");
  const list = Array.from({ length: rows }, () => Array.from({ length: width }, () => rng.normal()));
  return Float32Array.from(list.flatMap((each) => each.map((value) => value / Math.hypot(...each))));
}

const folder = await mkdtemp(join(tmpdir(), "florence-bench-detect-"));
try {
  const model = await loadModel("florence-nano", { threads });
  const detectorFolder = values.detector ?? join(folder, "detector");
  if (!values.detector) await writeDetector(detectorFolder, model.fingerprint);
  const photos = join(folder, "photos");
  await mkdir(photos);
  const samples = (await readdir(join(root, "samples"))).filter((name) => name.endsWith(".jpg"));
  for (let i = 0; i < count; i++) {
    const name = samples[i % samples.length] as string;
    await cp(join(root, "samples", name), join(photos, `${String(i).padStart(4, "0")}-${name}`));
  }
  const files = (await readdir(photos)).map((name) => join(photos, name));
  const detector = await loadDetector(detectorFolder, { threads });
  console.log(`${detector.name}, ${detector.preprocessing.side} px, ${threads} threads, ${count} pictures of samples/`);
  const proposing = ["crops", "regions"] as const;
  const methods = detector.classes.kind === "text" ? (["head", ...proposing] as const) : proposing;
  const runs: LabelRun[] = [];
  for (const method of methods) {
    for (const labelCount of [1, 10, 100, 1000]) {
      const labels = Array.from({ length: labelCount }, (_, i) => `thing ${i}`);
      const choices = { detector, method, labels, cacheFolder: join(folder, "cache"), scoreThreshold: 0 };
      const seconds: string[] = [];
      const open = async () => {
        const opening = performance.now();
        const opened = await openDetection({ ...choices, loadModel: async () => model });
        seconds.push(((performance.now() - opening) / 1000).toFixed(2));
        return opened;
      };
      await open();
      runs.push({ name: `${labelCount} | ${method}`, opened: await open(), seconds, rates: [] }); // from the cache
    }
  }
  // In turn, a group of pictures each, so that what else the machine does meets all; the first round warms up.
  const groups = Math.max(2, Math.ceil(count / group));
  for (let round = 0; round < groups; round++) {
    for (const { opened, rates } of runs) {
      const started = performance.now();
      for await (const result of detectFiles(files.slice(0, group), opened)) if ("error" in result) throw result.error;
      if (round > 0) rates.push((1000 * group) / (performance.now() - started));
    }
  }
  console.log(
    "\n| labels | method | labels embedded, s | from the cache, s | pictures/s, median | best |\n|---|---|---|---|---|---|",
  );
  for (const { name, seconds, rates } of runs) {
    const best = Math.max(...rates);
    console.log(`| ${name} | ${seconds.join(" | ")} | ${median(rates).toFixed(1)} | ${best.toFixed(1)} |`);
  }
  await detector.dispose();
  await model.dispose();
  await stages(detectorFolder, files);
} finally {
  await rm(folder, { recursive: true, force: true });
}
