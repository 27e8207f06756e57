import { describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { type RgbImage, rgbImage } from "../core/image.ts";
import type { FailedFile, FoundFile } from "../io/file-walk.ts";
import { embedImageFiles } from "./embed-images.ts";

async function* files(count: number): AsyncGenerator<FoundFile> {
  for (let i = 0; i < count; i++) yield { path: `${i}`, size: 1, mtimeMs: 1 };
}

/** An image whose first byte is its number, of `side` × `side` pixels; every third one fails. */
function decoder({ side = 1, failing = (): boolean => false } = {}) {
  const state = { open: 0, mostOpen: 0 };
  const decode = async (path: string): Promise<RgbImage> => {
    state.mostOpen = Math.max(state.mostOpen, ++state.open);
    await new Promise((resolve) => setTimeout(resolve, (Number(path) * 7) % 3)); // later ones may be ready first
    state.open--;
    if (failing() || Number(path) % 3 === 2) throw new UserError("corrupt", `${path}: broken.`);
    const image = rgbImage(side, side);
    image.data[0] = Number(path) % 256;
    return image;
  };
  return { state, decode };
}

function recordingEmbedder(refuse: (image: RgbImage) => boolean = () => false) {
  const batches: number[] = [];
  return {
    batches,
    async embedImages(images: readonly RgbImage[]): Promise<Float32Array[]> {
      batches.push(images.length);
      if (images.some(refuse)) throw new UserError("unsupported", "refused.");
      return images.map(({ data }) => Float32Array.of(data[0]));
    },
  };
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe("embedImageFiles", () => {
  it("keeps the order of files, each with its own embedding or failure", async () => {
    const { decode } = decoder();
    const results = await collect(embedImageFiles(files(100), recordingEmbedder(), { decode, batchSize: 8 }));
    expect(results).toHaveLength(100);
    results.forEach((result, i) => {
      if (i % 3 === 2) expect(result).toEqual({ path: `${i}`, error: { code: "corrupt", message: `${i}: broken.` } });
      else expect(result).toMatchObject({ file: { path: `${i}` }, embedding: Float32Array.of(i) });
    });
  });

  it("reads a few files ahead, and no more", async () => {
    const { decode, state } = decoder();
    await collect(embedImageFiles(files(200), recordingEmbedder(), { decode, decodeAhead: 5, batchSize: 16 }));
    expect(state.mostOpen).toBeGreaterThan(1);
    expect(state.mostOpen).toBeLessThanOrEqual(5);
  });

  it("closes a batch early when its pixels grow large", async () => {
    const { decode } = decoder({ side: 10 }); // 300 bytes an image
    const embedder = recordingEmbedder();
    await collect(embedImageFiles(files(30), embedder, { decode, batchBytes: 900 }));
    expect(new Set(embedder.batches)).toEqual(new Set([3, 2]));
  });

  it("reports a long run of failures while it lasts", async () => {
    const { decode, state } = decoder({ failing: () => true });
    const results: FailedFile[] = [];
    for await (const result of embedImageFiles(files(1000), recordingEmbedder(), { decode, batchSize: 4 })) {
      results.push(result as FailedFile);
      if (results.length === 10) break;
    }
    expect(results.map(({ path }) => path)).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
    expect(state.open).toBe(0); // breaking off waits for the reads under way
  });

  it("tells a picture that the model refuses from its neighbours", async () => {
    const { decode } = decoder();
    const embedder = recordingEmbedder(({ data }) => data[0] === 4);
    const results = await collect(embedImageFiles(files(9), embedder, { decode }));
    expect(results[4]).toEqual({ path: "4", error: { code: "unsupported", message: "4: refused." } });
    expect(results.filter((result) => "embedding" in result)).toHaveLength(5);
  });

  it("does not hide a bug of the model", async () => {
    const { decode } = decoder();
    const embedder = { embedImages: () => Promise.reject(new TypeError("bug")) };
    await expect(collect(embedImageFiles(files(3), embedder, { decode }))).rejects.toThrow("bug");
  });
});
