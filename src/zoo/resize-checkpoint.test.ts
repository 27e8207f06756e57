import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "../io/images.ts";
import { readCheckpoint } from "./checkpoint-formats.ts";
import { loadModel } from "./load-model.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fixtures = join(root, "test/fixtures/checkpoints");
const picture = (name: string) => decodeImage(join(root, "samples", name));

interface ResizedCase {
  size: number;
  images: { path: string; embedding: number[] }[];
}

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-resized-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("checkpoints at another image size", () => {
  it.each(["open-clip", "clip-hugging-face", "siglip"])("%s embeds as its own library does", async (name) => {
    const cases = JSON.parse(await readFile(join(fixtures, name, "resized.json"), "utf8")) as ResizedCase[];
    expect(cases.map(({ size }) => size)).toEqual([17, 50, 72]);
    for (const { size, images } of cases) {
      const model = await loadModel(join(fixtures, name), { imageSize: size });
      const found = await model.embedImages(await Promise.all(images.map(({ path }) => picture(path))));
      await model.dispose();
      for (const [i, { embedding }] of images.entries()) {
        for (const [k, value] of embedding.entries()) expect(Math.abs(found[i][k] - value)).toBeLessThan(2e-6);
      }
    }
  });

  it("takes the size in the configuration as it is", async () => {
    const [own, asked] = [
      await readCheckpoint(join(fixtures, "open-clip")),
      await readCheckpoint(join(fixtures, "open-clip"), { imageSize: 33 }),
    ];
    expect(asked).toEqual(own);
    const other = await readCheckpoint(join(fixtures, "open-clip"), { imageSize: 36 }); // four patches on a side, too
    expect(other.weights).toEqual(own.weights);
    expect(other.preprocessing).toEqual({ ...own.preprocessing, size: 36 });
  });

  it("names the tensor and both shapes where a configuration and its weights disagree", async () => {
    await cp(join(fixtures, "open-clip"), folder, { recursive: true });
    const config = await readFile(join(folder, "open_clip_config.json"), "utf8");
    await writeFile(join(folder, "open_clip_config.json"), config.replace('"image_size": 33', '"image_size": 48'));
    const words = "open_clip_model.safetensors: visual.positional_embedding must be [37, 32], got [17, 32]";
    for (const imageSize of [undefined, 48, 33]) {
      await expect(readCheckpoint(folder, { imageSize })).rejects.toThrow(words);
    }
  });

  it("scales what is cut out, and resizes a table of relative positions only where its window changes", async () => {
    const [own, twice, tiny] = await Promise.all(
      [undefined, 160, 36].map((imageSize) => readCheckpoint(join(fixtures, "unicl"), { imageSize })),
    );
    expect(own.preprocessing).toMatchObject({ size: 80, resizeTo: 91 });
    expect(twice.preprocessing).toMatchObject({ size: 160, resizeTo: 182 });
    expect([...twice.weights.keys()].sort()).toEqual([...own.weights.keys()].sort());
    const changed = (other: typeof own) =>
      [...own.weights].filter(([name, data]) => other.weights.get(name)?.length !== data.length).map(([name]) => name);
    expect(changed(twice)).toEqual([]);
    expect(changed(tiny)).toEqual(["imageEncoder.stages.2.blocks.0.attn.positionBias"]);
    for (const imageSize of [160, 100]) {
      const model = await loadModel(join(fixtures, "unicl"), { imageSize });
      const [embedding] = await model.embedImages([await picture("cat.jpg")]);
      await model.dispose();
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
    }
    await expect(readCheckpoint(join(fixtures, "unicl"), { imageSize: 15 })).rejects.toThrow("from 16 to 4096, got 15");
  });

  it.each([0, -32, 3, 2.5, 5000, Number.NaN])("refuses a side of %d", async (imageSize) => {
    await expect(readCheckpoint(join(fixtures, "siglip"), { imageSize })).rejects.toMatchObject({
      code: "bad-argument",
      message: expect.stringMatching(/siglip: imageSize must be a whole number from 8 to 4096, got /),
    });
  });
});
