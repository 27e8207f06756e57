import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EmbeddingCache, type EmbeddingCacheOptions } from "./embedding-cache.ts";
import type { CachedEmbedding } from "./embedding-frame.ts";

let cacheFolder: string;
let options: EmbeddingCacheOptions;

beforeEach(async () => {
  cacheFolder = await mkdtemp(join(tmpdir(), "florence-embeddings-"));
  options = { cacheFolder, fingerprint: "a".repeat(64), embedDim: 3 };
});
afterEach(() => rm(cacheFolder, { recursive: true, force: true }));

function record(path: string, value: number): CachedEmbedding {
  return {
    path,
    size: 10 + value,
    mtimeMs: 1_700_000_000_000.5 + value,
    embedding: Float32Array.of(value, 0.1, -value),
  };
}

function look(cache: EmbeddingCache, { path, size, mtimeMs }: CachedEmbedding): Float32Array | undefined {
  return cache.get(path, size, mtimeMs);
}

async function segmentPaths(cache: EmbeddingCache): Promise<string[]> {
  return (await readdir(cache.folder)).sort().map((name) => join(cache.folder, name));
}

describe("EmbeddingCache", () => {
  it("gives back what an earlier run stored, for the same path, size and time only", async () => {
    const first = await EmbeddingCache.open("/photos", options);
    const cat = record("/photos/cat é.jpg", 1);
    await first.append([cat, record("/photos/dog.jpg", 2)]);
    await first.close();

    const second = await EmbeddingCache.open("/photos", options);
    expect(second.size).toBe(2);
    expect(look(second, cat)).toEqual(cat.embedding);
    expect(look(second, { ...cat, size: cat.size + 1 })).toBeUndefined();
    expect(look(second, { ...cat, mtimeMs: cat.mtimeMs + 1 })).toBeUndefined();
    expect(look(second, { ...cat, path: "/photos/cow.jpg" })).toBeUndefined();
    await second.close();
  });

  it("keeps models and folders apart", async () => {
    const cat = record("/photos/cat.jpg", 1);
    const cache = await EmbeddingCache.open("/photos", options);
    await cache.append([cat]);
    await cache.close();
    const otherModel = await EmbeddingCache.open("/photos", { ...options, fingerprint: "b".repeat(64) });
    const otherFolder = await EmbeddingCache.open("/photos/2024", options);
    expect(otherModel.size + otherFolder.size).toBe(0);
  });

  it("holds every finished append of a run that was killed, and drops a torn one", async () => {
    const killed = await EmbeddingCache.open("/photos", options); // never closed
    await killed.append([record("/photos/a.jpg", 1), record("/photos/b.jpg", 2)]);
    await killed.append([record("/photos/c.jpg", 3)]);
    const [segment] = await segmentPaths(killed);
    const whole = await readFile(segment);
    for (const cut of [1, 4, 17, 40]) {
      await writeFile(segment, whole);
      await truncate(segment, whole.length - cut);
      const reopened = await EmbeddingCache.open("/photos", options);
      expect(reopened.size).toBe(2);
      expect(look(reopened, record("/photos/b.jpg", 2))).toEqual(Float32Array.of(2, 0.1, -2));
    }
    await killed.close();
  });

  it("leaves out a frame whose bytes were changed, and bytes that are no frame", async () => {
    const cache = await EmbeddingCache.open("/photos", options);
    await cache.append([record("/photos/a.jpg", 1)]);
    await cache.append([record("/photos/b.jpg", 2)]);
    const [segment] = await segmentPaths(cache);
    const bytes = await readFile(segment);
    bytes[bytes.length - 2] ^= 0xff;
    await writeFile(segment, bytes);
    expect((await EmbeddingCache.open("/photos", options)).size).toBe(1);
    await writeFile(segment, "not a segment at all, but long enough to hold a header");
    expect((await EmbeddingCache.open("/photos", options)).size).toBe(0);
    await appendFile(join(cache.folder, "notes.txt"), "ignored");
    expect((await EmbeddingCache.open("/photos", options)).size).toBe(0);
    await cache.close();
  });

  it("merges the segments of several runs into one, the later value winning", async () => {
    for (let value = 1; value <= 9; value++) {
      const cache = await EmbeddingCache.open("/photos", options);
      await cache.append([record("/photos/same.jpg", value), record(`/photos/${value}.jpg`, value)]);
      await cache.close();
    }
    const cache = await EmbeddingCache.open("/photos", options);
    expect(await segmentPaths(cache)).toHaveLength(1);
    expect(cache.size).toBe(10);
    expect(look(cache, record("/photos/same.jpg", 9))).toEqual(Float32Array.of(9, 0.1, -9));
    expect(look(cache, record("/photos/same.jpg", 1))).toBeUndefined();
  });

  it("forgets files that are gone, on disk too once that saves space", async () => {
    const first = await EmbeddingCache.open("/photos", options);
    const records = Array.from({ length: 100 }, (_, i) => record(`/photos/${i}.jpg`, i));
    await first.append(records);
    await first.close();
    const second = await EmbeddingCache.open("/photos", options);
    expect(second.retain(new Set(["/photos/7.jpg"]))).toBe(99);
    await second.close();
    const third = await EmbeddingCache.open("/photos", options);
    expect(third.size).toBe(1);
    expect(look(third, records[7])).toEqual(records[7].embedding);
  });

  it("survives two runs on one folder at the same time", async () => {
    const one = await EmbeddingCache.open("/photos", options);
    const two = await EmbeddingCache.open("/photos", options);
    await Promise.all([one.append([record("/photos/a.jpg", 1)]), two.append([record("/photos/b.jpg", 2)])]);
    await Promise.all([one.close(), two.close()]);
    const after = await EmbeddingCache.open("/photos", options);
    expect(after.size).toBe(2);
  });
});
