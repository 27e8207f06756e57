import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watchLoop } from "../../test/support/loop-hold.ts";
import { UserError } from "../core/errors.ts";
import { type FoundFile, walkImageFiles } from "../io/file-walk.ts";
import { decodeImage } from "../io/images.ts";
import { embedImageFiles, featuresAsEmbeddings } from "../search/embed-images.ts";
import type { ThreadedModel } from "./florence-model.ts";
import { loadModel } from "./load-model.ts";

const samples = fileURLToPath(new URL("../../samples", import.meta.url));
const cosine = (a: Float32Array, b: Float32Array): number => {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

/** The sample pictures, over and over. */
async function* repeated(count: number): AsyncGenerator<FoundFile> {
  const files: FoundFile[] = [];
  for await (const file of walkImageFiles([samples])) if (!("error" in file)) files.push(file);
  for (let i = 0; i < count; i++) yield files[i % files.length];
}

let folder: string;
let model: ThreadedModel;
let bytes: ThreadedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-threads-"));
  [model, bytes] = await Promise.all([loadModel("florence-nano"), loadModel("florence-nano", { precision: "int8" })]);
});
afterAll(async () => {
  await Promise.all([model?.dispose(), bytes?.dispose()]);
  await rm(folder, { recursive: true, force: true });
});

describe("a loaded model's threads", () => {
  it("read and embed files as decoding here does", async () => {
    const path = join(samples, "koala.jpg");
    const [expected] = await model.embedImages([await decodeImage(path)]);
    const [found] = await model.embedPrepared([await model.readImage(path)]);
    expect(found).toEqual(expected);
    const error: unknown = await model.readImage(join(folder, "absent.jpg")).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).code).toBe("not-found");
  });

  it("refuse pictures that were prepared for another model", async () => {
    const wrong = { side: 7, data: new Uint8Array(7 * 7 * 3) };
    await expect(model.embedPrepared([wrong])).rejects.toThrow("must be prepared to 32 pixels, got 7");
  });

  it("give the features that the projection takes to the embedding", async () => {
    const image = await decodeImage(join(samples, "cat.jpg"));
    const [features] = await model.imageFeatures([image]);
    expect(features).toHaveLength(model.featureDim);
    const streamed = embedImageFiles(repeated(1), featuresAsEmbeddings(model));
    for await (const result of streamed) {
      if ("error" in result) throw new Error(result.error.message);
      const [expected] = await model.imageFeatures([await decodeImage(result.file.path)]);
      expect(result.embedding).toEqual(expected);
    }
    expect(Math.abs(Math.hypot(...features) - 1)).toBeGreaterThan(1e-3); // not normalised
  });

  it("keep this thread free, memory flat and the order of files over 300 pictures", async () => {
    const loop = watchLoop();
    let count = 0;
    const rss: number[] = [];
    for await (const result of embedImageFiles(repeated(300), model)) {
      expect("error" in result).toBe(false);
      if (++count === 100 || count === 300) rss.push(process.memoryUsage().rss / 2 ** 20);
    }
    const { p99 } = loop.stop();
    expect(count).toBe(300);
    expect(rss[1] - rss[0]).toBeLessThan(120); // 300 decoded pictures would take some 300 MiB
    expect(p99).toBeLessThan(20);
  });

  it("stop within a second of an abort, and can be used afterwards", async () => {
    const controller = new AbortController();
    const reason = new UserError("cancelled", "stopped by the test.");
    let abortedAt = 0;
    const embedAll = async () => {
      for await (const result of embedImageFiles(repeated(100_000), model, { signal: controller.signal })) {
        expect("error" in result).toBe(false);
        if (abortedAt > 0) continue;
        abortedAt = performance.now();
        setTimeout(() => controller.abort(reason), 20);
      }
    };
    await expect(embedAll()).rejects.toBe(reason);
    expect(performance.now() - abortedAt).toBeLessThan(1020);
    const texts = Array.from({ length: 8_000 }, (_, i) => `picture number ${i}`);
    const later = new AbortController();
    const started = performance.now();
    const embedding = model.embedTexts(texts, { signal: later.signal });
    setTimeout(() => later.abort(reason), 50);
    await expect(embedding).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(1050);
    expect(await model.embedTexts(["a cat"])).toHaveLength(1);
    await expect(loadModel("florence-nano", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("are let go of by dispose, whose model is of no use then; loading again leaves no growth", async () => {
    const rss: number[] = [];
    for (let cycle = 0; cycle < 5; cycle++) {
      await using again = await loadModel("florence-nano");
      await again.embedTexts(["a cat"]);
      await again.dispose();
      await expect(again.embedTexts(["a cat"])).rejects.toThrow("must not be used after dispose()");
      rss.push(process.memoryUsage().rss / 2 ** 20);
    }
    expect(rss[4] - rss[1]).toBeLessThan(60); // the weights of one are 80 MiB
  });
});

describe("int8", () => {
  it("has embeddings close to float32's, and a fingerprint of its own", async () => {
    expect(bytes.fingerprint).not.toBe(model.fingerprint);
    expect([bytes.precision, bytes.embedDim]).toEqual(["int8", model.embedDim]);
    const images: Awaited<ReturnType<typeof decodeImage>>[] = [];
    for await (const file of repeated(24)) images.push(await decodeImage(file.path));
    const texts = ["a photo of a cat", "a drawing of a rocket", "a red bicycle leaning against a wall"];
    const pairs = [
      [await model.embedImages(images), await bytes.embedImages(images)],
      [await model.embedTexts(texts), await bytes.embedTexts(texts)],
    ];
    for (const [exact, rough] of pairs) {
      const cosines = exact.map((embedding, i) => cosine(embedding, rough[i]));
      expect(cosines.reduce((sum, value) => sum + value, 0) / cosines.length).toBeGreaterThanOrEqual(0.99);
      expect(Math.max(...cosines)).toBeLessThan(0.9999999); // it is not float32 under another name
    }
  });
});
