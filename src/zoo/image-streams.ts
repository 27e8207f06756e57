import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import type { SessionFile } from "../runtime/inference-session.ts";
import type { WorkerThread } from "../runtime/worker-thread.ts";
import type { ImageSession } from "./image-queue.ts";
import type { StreamPlan } from "./stream-plan.ts";
import type { StreamCalls } from "./stream-worker.ts";

const entry = new URL(import.meta.url.endsWith(".ts") ? "stream-worker.ts" : "stream-worker.js", import.meta.url);

type StreamWorker = WorkerThread<StreamCalls>;

/**
 * Sessions of one image tower side by side, each in a worker thread of its own, so that their threads need not meet after
 * every operator.
 *
 * @param side  of the pictures' square, pixels
 */
export async function startStreams(
  file: SessionFile,
  side: number,
  { streams, threads }: StreamPlan,
): Promise<ImageSession[]> {
  const workers = Array.from({ length: streams }, () => borrowWorker<StreamCalls>(entry));
  const loads = await Promise.allSettled(workers.map((worker) => worker.call("load", { file, side, threads })));
  const failed = loads.find((load) => load.status === "rejected");
  if (!failed) return workers.map(sessionOf); // made elsewhere: what is made here would keep the weights
  await Promise.allSettled(workers.map(release));
  throw failed.reason;
}

function sessionOf(worker: StreamWorker): ImageSession {
  return {
    images: (payload, options) => worker.call("images", payload, options),
    release: () => release(worker),
  };
}

async function release(worker: StreamWorker): Promise<void> {
  if (!worker.hasFailed) await worker.call("dispose", null);
  returnWorker(entry, worker);
}
