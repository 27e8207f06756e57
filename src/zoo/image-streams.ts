import { freeBuffers } from "../runtime/free-buffers.ts";
import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import type { SessionFile } from "../runtime/inference-session.ts";
import { ownedBuffers } from "../runtime/worker-calls.ts";
import type { WorkerThread } from "../runtime/worker-thread.ts";
import type { ImageSession } from "./image-queue.ts";
import type { StreamPlan } from "./stream-plan.ts";
import type { StreamCalls } from "./stream-worker.ts";

const entry = new URL(import.meta.url.endsWith(".ts") ? "stream-worker.ts" : "stream-worker.js", import.meta.url);

type StreamWorker = WorkerThread<StreamCalls>;

/**
 * Sessions of one image tower side by side, each in a worker thread of its own, so that their threads need not meet after
 * every operator. One is made after the other, of one copy of the weights, which goes from thread to thread; the first
 * computes while the next is made.
 *
 * @param side  of the pictures' square, pixels
 */
export async function* startStreams(
  give: () => Promise<SessionFile>,
  side: number,
  { streams, threads }: StreamPlan,
): AsyncGenerator<ImageSession> {
  const workers = Array.from({ length: streams }, () => borrowWorker<StreamCalls>(entry)); // they start meanwhile
  try {
    let file = await give();
    for (let worker = workers[0]; worker; worker = workers[0]) {
      file = await worker.call("load", { file, side, threads }, { transfer: ownedBuffers(file) });
      workers.shift();
      yield sessionOf(worker);
    }
    freeBuffers(ownedBuffers(file));
  } finally {
    await Promise.allSettled(workers.map(release)); // those that were given no session
  }
}

function sessionOf(worker: StreamWorker): ImageSession {
  return {
    get hasFailed() {
      return worker.hasFailed;
    },
    images: (payload, options) => worker.call("images", payload, options),
    release: () => release(worker),
  };
}

async function release(worker: StreamWorker): Promise<void> {
  if (!worker.hasFailed) await worker.call("dispose", null);
  returnWorker(entry, worker);
}
