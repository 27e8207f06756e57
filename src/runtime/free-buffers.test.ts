import { expect, it } from "vitest";
import { freeBuffers } from "./free-buffers.ts";

it("gives memory back without a garbage collection", async () => {
  const mebibytes = () => process.memoryUsage().rss / 2 ** 20;
  const arrays = Array.from({ length: 50 }, () => new Float32Array(2 ** 20).fill(1)); // 200 MiB
  const before = mebibytes();
  freeBuffers(arrays.map(({ buffer }) => buffer));
  expect(arrays.map(({ length }) => length)).toEqual(arrays.map(() => 0));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(before - mebibytes()).toBeGreaterThan(150);
});
