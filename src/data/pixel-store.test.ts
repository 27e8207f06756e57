import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { rgbImage } from "../core/image.ts";
import type { LabelledImage } from "./labelled/labelled-set.ts";
import { PixelStore } from "./pixel-store.ts";
import { preprocess } from "./transforms.ts";

const preprocessing = { size: 4, resize: "shorter-side", filter: "bicubic" } as const;
const images: LabelledImage[] = ["a", "bad", "c", ...Array.from({ length: 20 }, (_, i) => `more ${i}`)].map((key) => ({
  key,
  labels: [],
  texts: [],
}));

/** Pictures that differ by key; counts what it decodes. */
function countingSet() {
  const decoded: string[] = [];
  return {
    decoded,
    name: "toy",
    fingerprint: "f",
    async decode({ key }: LabelledImage) {
      decoded.push(key);
      if (key === "bad") throw new UserError("corrupt", "bad: must decode.");
      return pictureOf(key);
    },
  };
}

function pictureOf(key: string) {
  const data = Uint8Array.from({ length: 8 * 6 * 3 }, (_, i) => (i * 7 + key.length * 31 + key.charCodeAt(0)) % 256);
  return rgbImage(8, 6, data);
}

function rowOf(store: PixelStore, row: number): Uint8Array {
  const target = new Uint8Array(2 + 48);
  store.copy(row, target, 2);
  return target.subarray(2);
}

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-pixels-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("PixelStore", () => {
  it.each([
    ["in memory", {}],
    ["kept in a file and in memory", { cached: true }],
    ["read from its file", { cached: true, memoryLimit: 10 }],
  ])("%s: the pixels an encoder takes, bad pictures left out and named", async (_where, options) => {
    const { cached, ...more } = { cached: false, ...options };
    const set = countingSet();
    const store = await PixelStore.open({
      set,
      images,
      preprocessing,
      ...more,
      ...(cached && { cacheFolder: folder }),
    });
    expect(store.count).toBe(22);
    expect(store.images.map(({ key }) => key)).not.toContain("bad");
    expect(store.failures).toEqual([{ path: "bad", error: expect.objectContaining({ code: "corrupt" }) }]);
    for (const row of [0, 1, 21]) {
      expect(rowOf(store, row)).toEqual(preprocess(pictureOf(store.images[row].key), preprocessing));
    }
    store.close();
  });

  it("decodes once, again only for other pictures, sizes or a damaged file", async () => {
    const options = { images, preprocessing, cacheFolder: folder };
    const first = await PixelStore.open({ set: countingSet(), ...options });
    const again = countingSet();
    const second = await PixelStore.open({ set: again, ...options });
    expect(again.decoded).toEqual([]);
    expect(rowOf(second, 5)).toEqual(rowOf(first, 5));
    expect(second.failures).toHaveLength(1);
    const other = countingSet();
    await PixelStore.open({ set: other, ...options, preprocessing: { ...preprocessing, size: 3 } });
    await PixelStore.open({ set: other, ...options, images: images.slice(2) });
    expect(other.decoded).toHaveLength(23 + 21);
    for (const name of await readdir(join(folder, "pixels"))) {
      if (name.endsWith(".bin")) await truncate(join(folder, "pixels", name), 20);
    }
    const damaged = countingSet();
    await PixelStore.open({ set: damaged, ...options });
    expect(damaged.decoded).toHaveLength(23);
  });

  it("refuses what does not fit in memory without a file, and sets without a good picture", async () => {
    const large = PixelStore.open({ set: countingSet(), images, preprocessing, memoryLimit: 100 });
    await expect(large).rejects.toMatchObject({ code: "too-large" });
    const empty = PixelStore.open({ set: countingSet(), images: [images[1]], preprocessing });
    await expect(empty).rejects.toMatchObject({ code: "empty" });
  });
});
