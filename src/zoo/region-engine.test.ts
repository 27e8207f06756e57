import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { rgbImage } from "../core/image.ts";
import { decodeImage } from "../io/images.ts";
import { loadModel } from "./load-model.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((total, value, i) => total + value * b[i], 0);

describe("a model's embeddings of regions", () => {
  it("are nearly the picture's own for all of it, and the same whatever else is asked for", async () => {
    await using model = await loadModel("florence-nano", { threads: 1 });
    const photo = await decodeImage(join(root, "samples/cat.jpg"));
    const side = 32; // the model's own
    const small = rgbImage(side, side);
    for (let i = 0; i < side * side; i++) {
      const [row, column] = [Math.floor(i / side), i % side];
      const [y, x] = [Math.floor((row * photo.height) / side), Math.floor((column * photo.width) / side)];
      const from = (y * photo.width + x) * 3;
      small.data.set(photo.data.subarray(from, from + 3), 3 * i);
    }
    const [whole] = await model.embedImages([small]);
    const boxes = Float32Array.from([0, 0, side, side, 0, 0, 12, 12, 8, 4, 30, 30]);
    const regions = await model.embedRegions?.(small, boxes);
    expect(regions).toHaveLength(3);
    for (const region of regions ?? []) expect(Math.hypot(...region)).toBeCloseTo(1, 5);
    expect(cosine(regions?.[0] as Float32Array, whole as Float32Array)).toBeGreaterThan(0.95);
    expect(cosine(regions?.[1] as Float32Array, whole as Float32Array)).toBeLessThan(0.95);
    const [alone] = (await model.embedRegions?.(small, boxes.subarray(8))) ?? [];
    for (const [i, value] of (alone ?? []).entries()) expect(value).toBeCloseTo(regions?.[2]?.[i] as number, 5);
  });

  it("come from pictures of any size, and grey beside one changes little", async () => {
    await using model = await loadModel("florence-nano", { threads: 1 });
    const odd = rgbImage(45, 70);
    for (let i = 0; i < odd.data.length; i++) odd.data[i] = (i * 31) % 251;
    const [region] = (await model.embedRegions?.(odd, Float32Array.from([3, 5, 40, 60]))) ?? [];
    expect(region).toHaveLength(model.embedDim);
    const filled = rgbImage(48, 72);
    filled.data.fill(114);
    for (let y = 0; y < 70; y++) filled.data.set(odd.data.subarray(y * 135, (y + 1) * 135), y * 144);
    const [same] = (await model.embedRegions?.(filled, Float32Array.from([3, 5, 40, 60]))) ?? [];
    expect(region).toEqual(same);
    expect(await model.embedRegions?.(odd, new Float32Array(0))).toEqual([]);
  });

  it("are not offered by a model whose encoder gives no map", async () => {
    await using model = await loadModel(join(root, "test/fixtures/checkpoints/open-clip"));
    expect(model.embedRegions).toBeUndefined();
  });
});
