import { availableParallelism } from "node:os";
import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import type { CallOptions, WorkerThread } from "../runtime/worker-thread.ts";
import type { PixelCalls } from "./pixel-worker.ts";

const entry = new URL(import.meta.url.endsWith(".ts") ? "pixel-worker.ts" : "pixel-worker.js", import.meta.url);

const mostThreads = Math.min(4, availableParallelism());
/** Pictures a thread has in hand: it resizes one while the next are decoded. */
const picturesPerThread = 3;

/** Threads that decode and resize pictures; started one by one, as there is work for them. One that has ended is replaced. */
export class PixelPool {
  readonly #threads: WorkerThread<PixelCalls>[] = [];
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #isDisposed = false;

  /** Calls wait here, where nothing is decoded yet: a thread holds a few pictures at a time. */
  async call<Method extends keyof PixelCalls>(
    method: Method,
    payload: Parameters<PixelCalls[Method]>[0],
    options: CallOptions,
  ): Promise<ReturnType<PixelCalls[Method]>> {
    if (this.#busy < mostThreads * picturesPerThread) this.#busy++;
    else await new Promise<void>((go) => this.#waiting.push(go)); // whoever is done gives the place on
    try {
      options.signal?.throwIfAborted();
      if (this.#isDisposed) throw new Error("the model was disposed of before this picture was read");
      return await this.#leastBusy().call(method, payload, options);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#busy--;
    }
  }

  /** Calls that wait are rejected, and so are those that a thread has in hand. */
  dispose(): void {
    this.#isDisposed = true;
    for (const thread of this.#threads.splice(0)) returnWorker(entry, thread);
  }

  #leastBusy(): WorkerThread<PixelCalls> {
    for (const dead of this.#threads.filter(({ hasFailed }) => hasFailed)) {
      this.#threads.splice(this.#threads.indexOf(dead), 1);
      returnWorker(entry, dead);
    }
    const [first] = this.#threads.sort((a, b) => a.load - b.load);
    if (first && (first.load === 0 || this.#threads.length === mostThreads)) return first;
    const started = borrowWorker<PixelCalls>(entry);
    this.#threads.push(started);
    return started;
  }
}
