import { availableParallelism } from "node:os";
import type { PreparedImage, RgbImage } from "../core/image.ts";
import { borrowWorker, returnWorker } from "../runtime/idle-workers.ts";
import type { CallOptions, WorkerThread } from "../runtime/worker-thread.ts";
import type { ModelConfig } from "./model-config.ts";
import type { PixelCalls } from "./pixel-worker.ts";

const entry = new URL(import.meta.url.endsWith(".ts") ? "pixel-worker.ts" : "pixel-worker.js", import.meta.url);

const mostThreads = Math.min(4, availableParallelism());
/** Pictures a thread has in hand: it resizes one while the next are decoded. */
const picturesPerThread = 3;

/** Threads that decode and resize a model's pictures; started one by one, as there is work for them. */
export class PixelThreads {
  readonly #preprocessing: ModelConfig["preprocessing"];
  readonly #threads: WorkerThread<PixelCalls>[] = [];
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  constructor(preprocessing: ModelConfig["preprocessing"]) {
    this.#preprocessing = preprocessing;
  }

  readFile(path: string, options: CallOptions): Promise<PreparedImage> {
    return this.#run((thread) => thread.call("file", { path, preprocessing: this.#preprocessing }, options), options);
  }

  prepare({ width, height, data }: RgbImage, options: CallOptions): Promise<PreparedImage> {
    const payload = { image: { width, height, data }, preprocessing: this.#preprocessing };
    return this.#run((thread) => thread.call("image", payload, options), options);
  }

  dispose(): void {
    for (const thread of this.#threads.splice(0)) returnWorker(entry, thread);
  }

  /** Calls wait here, where nothing is decoded yet: a thread holds a few pictures at a time. */
  async #run<Result>(
    use: (thread: WorkerThread<PixelCalls>) => Promise<Result>,
    { signal }: CallOptions,
  ): Promise<Result> {
    if (this.#busy < mostThreads * picturesPerThread) this.#busy++;
    else await new Promise<void>((go) => this.#waiting.push(go)); // whoever is done gives the place on
    try {
      signal?.throwIfAborted();
      return await use(this.#leastBusy());
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#busy--;
    }
  }

  #leastBusy(): WorkerThread<PixelCalls> {
    const [first] = this.#threads.sort((a, b) => a.load - b.load);
    if (first && (first.load === 0 || this.#threads.length === mostThreads)) return first;
    const started = borrowWorker<PixelCalls>(entry);
    this.#threads.push(started);
    return started;
  }
}
