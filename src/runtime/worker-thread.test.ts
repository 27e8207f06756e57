import { expect, it } from "vitest";
import type { ProgramCalls } from "./program-worker.ts";
import { wholeBuffer } from "./worker-calls.ts";
import { WorkerThread } from "./worker-thread.ts";

const entry = new URL("program-worker.ts", import.meta.url);

it("rejects what cannot be sent and waits for no answer to it", async () => {
  const worker = new WorkerThread<ProgramCalls>(entry);
  const gone = new Float32Array(4);
  structuredClone(gone, { transfer: [gone.buffer] }); // as if it had been handed over elsewhere
  await expect(worker.call("run", new Map([["x", gone]]))).rejects.toThrow("detached");
  expect(worker.load).toBe(0);
  await worker.call("dispose", null); // and answers the next
  await worker.terminate();
});

it("sends of a larger buffer the part alone", () => {
  const all = new Uint8Array(1000);
  const part = wholeBuffer(all.subarray(10, 20));
  expect([part.buffer.byteLength, part.length]).toEqual([10, 10]);
  expect(wholeBuffer(all)).toBe(all);
  expect(wholeBuffer(Buffer.from("a small one of Node's pool")).buffer.byteLength).toBe(26);
  expect(wholeBuffer(new Float32Array(8).subarray(2, 4)).buffer.byteLength).toBe(8);
});
