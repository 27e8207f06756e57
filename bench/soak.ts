/**
 * Twenty thousand pictures through the pipeline of `florence embed`: resident memory, how long the event loop is held
 * up, how soon an abort stops the work, and whether loading and disposing of models leaves anything behind.
 *
 *   npm run bench:soak -- [--model florence-nano] [--images 20000] [--cycles 50] [--precision int8]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import type { Precision } from "../src/core/precision.ts";
import type { FoundFile } from "../src/io/file-walk.ts";
import { embedImageFiles } from "../src/search/embed-images.ts";
import { loadModel } from "../src/zoo/load-model.ts";
import { watchLoop } from "../test/support/loop-hold.ts";
import { writePictures } from "./picture-folder.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "florence-nano" },
    precision: { type: "string", default: "float32" },
    images: { type: "string", default: "20000" },
    cycles: { type: "string", default: "50" },
  },
});
const [images, cycles] = [Number(values.images), Number(values.cycles)];
const load = () => loadModel(values.model, { precision: values.precision as Precision });
const mebibytes = () => process.memoryUsage().rss / 2 ** 20;

const folder = await mkdtemp(join(tmpdir(), "florence-soak-"));
try {
  const paths = await writePictures(folder, 200);
  await soak(paths);
  await abortSoon(paths);
  await loadAgain(paths.slice(0, 32));
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function* files(paths: readonly string[], count: number): AsyncGenerator<FoundFile> {
  for (let i = 0; i < count; i++) yield { path: paths[i % paths.length], size: 0, mtimeMs: 0 };
}

async function soak(paths: readonly string[]): Promise<void> {
  await using model = await load();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  console.log(`idle: event loop delay p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms`);
  delay.reset();
  const loop = watchLoop();
  const points: [thousands: number, mebibytes: number][] = [];
  const started = performance.now();
  let done = 0;
  for await (const result of embedImageFiles(files(paths, images), model)) {
    if ("error" in result) throw new Error(result.error.message);
    if (++done % 250 !== 0) continue;
    if (done >= 1000) points.push([done / 1000, mebibytes()]);
    if (done % 1000 === 0) {
      const rate = (done / (performance.now() - started)) * 1000;
      console.log(`${done} images, ${rate.toFixed(1)} a second, resident ${mebibytes().toFixed(0)} MiB`);
    }
  }
  const { p50, p99 } = { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6 };
  console.log(`event loop delay while encoding: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms (target < 20)`);
  const turns = loop.stop();
  console.log(
    `its turns, by processor time where the system tells: p99 ${turns.p99.toFixed(1)} ms, longest ${turns.longest.toFixed(1)} ms`,
  );
  if (points.length > 1)
    console.log(`resident memory: ${slope(points).toFixed(2)} MiB per 1,000 images after the first 1,000`);
}

async function abortSoon(paths: readonly string[]): Promise<void> {
  await using model = await load();
  const controller = new AbortController();
  let abortedAt = 0;
  setTimeout(() => {
    abortedAt = performance.now();
    controller.abort(new Error("enough"));
  }, 3000);
  try {
    for await (const _ of embedImageFiles(files(paths, 1e6), model, { signal: controller.signal }));
  } catch (error) {
    if (error !== controller.signal.reason) throw error;
  }
  const stopped = performance.now() - abortedAt;
  await model.dispose();
  const disposed = performance.now() - abortedAt;
  console.log(
    `abort: stopped after ${stopped.toFixed(0)} ms, disposed after ${disposed.toFixed(0)} ms (target < 1,000)`,
  );
}

/** The allocator takes some tens of cycles to find its size, and breathes afterwards: so half as many go ahead, uncounted. */
async function loadAgain(paths: readonly string[]): Promise<void> {
  const warmUp = Math.ceil(cycles / 2);
  const points: [cycle: number, mebibytes: number][] = [];
  for (let cycle = 1 - warmUp; cycle <= cycles; cycle++) {
    const model = await load();
    await model.embedTexts(["a cat"]);
    await model.embedPrepared(await Promise.all(paths.map((path) => model.readImage(path)))); // by streams, if it has them
    await model.dispose();
    if (cycle > 0) points.push([cycle, mebibytes()]);
    if (cycle % 10 === 0) console.log(`${warmUp + cycle} loads and disposals, resident ${mebibytes().toFixed(0)} MiB`);
  }
  const sizes = points.map(([, size]) => size);
  console.log(
    `${cycles} loads and disposals after ${warmUp}: resident ${sizes[0].toFixed(0)} MiB first, ${sizes.at(-1)?.toFixed(0)} MiB last, ` +
      `${Math.min(...sizes).toFixed(0)} to ${Math.max(...sizes).toFixed(0)} between, ${slope(points).toFixed(2)} MiB a cycle`,
  );
}

/** The slope of the straight line through the points, by least squares. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (pick: 0 | 1) => points.reduce((sum, point) => sum + point[pick], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const rise = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return rise / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}
