import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import type { PreparedImage } from "../core/image.ts";
import { type FoundFile, walkImageFiles } from "../io/file-walk.ts";
import { embedImageFiles } from "../search/embed-images.ts";
import type { ThreadedModel } from "./florence-model.ts";
import { startStreams } from "./image-streams.ts";
import { loadModel } from "./load-model.ts";

const samples = fileURLToPath(new URL("../../samples", import.meta.url));
const count = 40;
let paths: string[];
let single: ThreadedModel;
let streams: ThreadedModel;
let images: PreparedImage[];

beforeAll(async () => {
  const files: string[] = [];
  for await (const file of walkImageFiles([samples])) if (!("error" in file)) files.push(file.path);
  paths = Array.from({ length: count }, (_, i) => files[i % files.length]);
  single = await loadModel("florence-nano", { threads: 2, streams: 1 });
  streams = await loadModel("florence-nano", { threads: 2 });
  images = await Promise.all(paths.map((path) => single.readImage(path)));
});
afterAll(async () => {
  await Promise.all([single?.dispose(), streams?.dispose()]);
});

function expectClose(found: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(found).toHaveLength(expected.length);
  const differences = found.flatMap((row, i) => [...row].map((value, k) => Math.abs(value - expected[i][k])));
  expect(Math.max(...differences)).toBeLessThanOrEqual(1e-6);
}

async function* found(of: readonly string[]): AsyncGenerator<FoundFile> {
  for (const path of of) yield { path, size: 0, mtimeMs: 0 };
}

describe("streams of an image tower", () => {
  it("give what the one session gives, in order, for few pictures and many", async () => {
    const expected = await single.embedPrepared(images);
    for (const some of [1, 7, 8, 9, count]) {
      expectClose(await streams.embedPrepared(images.slice(0, some)), expected.slice(0, some));
    }
    const features = await streams.preparedFeatures(images);
    expect(features[0]).toHaveLength(streams.featureDim);
    expect(streams.fingerprint).toBe(single.fingerprint);
  });

  it("embed files in order, the last few among them", async () => {
    const expected = await single.embedPrepared(images);
    const rows: Float32Array[] = [];
    for await (const result of embedImageFiles(found(paths), streams, { batchSize: 13 })) {
      if ("error" in result) throw new Error(result.error.message);
      rows.push(result.embedding);
    }
    expectClose(rows, expected);
  });

  it("and a single picture's session can be made in either order", async () => {
    await using model = await loadModel("florence-nano", { threads: 2 });
    const [alone] = await model.embedPrepared(images.slice(0, 1)); // drops the image tower's weights once they are packed
    const many = await model.embedPrepared(images); // so that they are read once more
    expectClose([alone], many.slice(0, 1));
    await using other = await loadModel("florence-nano", { threads: 2 });
    const [both, one] = await Promise.all([other.embedPrepared(images), other.embedPrepared(images.slice(0, 1))]);
    expectClose(one, both.slice(0, 1));
    expectClose(await other.embedPrepared(images.slice(0, 1)), one);
    expect(await other.embedTexts(["a cat"])).toHaveLength(1);
  });

  it("stop within a second of an abort while they start and while they compute", async () => {
    await using model = await loadModel("florence-nano", { threads: 2 });
    const reason = new UserError("cancelled", "stopped by the test.");
    const many = Array.from({ length: 20_000 }, (_, i) => images[i % count]);
    for (const wait of [5, 1000]) {
      const controller = new AbortController();
      const call = model.embedPrepared(many, { signal: controller.signal });
      let abortedAt = 0;
      setTimeout(() => {
        abortedAt = performance.now();
        controller.abort(reason);
      }, wait);
      await expect(call).rejects.toBe(reason);
      expect(performance.now() - abortedAt).toBeLessThan(1000);
    }
    expectClose(await model.embedPrepared(images), await single.embedPrepared(images));
  });

  it("are let go of by dispose, also while they start", async () => {
    const model = await loadModel("florence-nano", { threads: 2 });
    const call = model.embedPrepared(images);
    const rejected = expect(call).rejects.toThrow("must not be used after dispose()");
    await model.dispose();
    await rejected;
    await expect(model.embedPrepared(images)).rejects.toThrow("must not be used after dispose()");
    const rss: number[] = [];
    for (let cycle = 0; cycle < 5; cycle++) {
      await using again = await loadModel("florence-nano", { threads: 2 });
      await again.embedPrepared(images);
      await again.dispose();
      rss.push(process.memoryUsage().rss / 2 ** 20);
    }
    expect(rss[4] - rss[1]).toBeLessThan(90); // the weights of both are 120 MiB
  });

  it("reject when a session cannot be made, and leave no worker waiting", async () => {
    const file = { bytes: Uint8Array.of(1, 2, 3), external: [] };
    const made = startStreams(async () => file, 32, { streams: 2, threads: 1 });
    await expect(made.next()).rejects.toThrow();
    const refused = startStreams(() => Promise.reject(new Error("no weights")), 32, { streams: 2, threads: 1 });
    await expect(refused.next()).rejects.toThrow("no weights");
  });
});
