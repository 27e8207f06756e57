import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import type { LetterboxConfig } from "../data/box-transforms/letterboxed-image.ts";
import type { CallTable } from "../runtime/worker-calls.ts";
import type { WorkerThread } from "../runtime/worker-thread.ts";
import { PixelPool } from "./pixel-pool.ts";

const { borrowed } = vi.hoisted(() => ({ borrowed: [] as WorkerThread<CallTable>[] }));

vi.mock("../runtime/idle-workers.ts", async (importActual) => {
  const actual = await importActual<typeof import("../runtime/idle-workers.ts")>();
  const borrowWorker = (entry: URL) => {
    const worker = actual.borrowWorker(entry);
    borrowed.push(worker);
    return worker;
  };
  return { ...actual, borrowWorker };
});

const path = fileURLToPath(new URL("../../samples/cat.jpg", import.meta.url));
const config: LetterboxConfig = { side: 64, padding: "square", stride: 32 };

function read(pool: PixelPool): Promise<unknown> {
  return pool.call("letterboxFile", { path, config, keepsOriginal: false }, {});
}

it("rejects the calls that wait when it is disposed, and starts no thread for them", async () => {
  const pool = new PixelPool();
  const calls = Array.from({ length: 60 }, () => read(pool));
  pool.dispose();
  const results = await Promise.allSettled(calls);
  expect(results.every(({ status }) => status === "rejected")).toBe(true);
  expect(String((results.at(-1) as PromiseRejectedResult).reason)).toContain("disposed of");
});

it("replaces a thread that has ended", async () => {
  const pool = new PixelPool();
  await read(pool);
  const thread = borrowed.at(-1);
  await thread?.terminate();
  expect(thread?.hasFailed).toBe(true);
  expect(await read(pool)).toMatchObject({ width: 64, height: 64 });
  pool.dispose();
});
