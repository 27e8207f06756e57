import { availableParallelism } from "node:os";
import { ShapeError } from "../core/errors.ts";
import { defaultThreads } from "./default-threads.ts";
import { encodeProgram, type FeedData, loadProgram, type Program, type ProgramOptions } from "./program.ts";
import type { ProgramCalls } from "./program-worker.ts";
import { wholeBuffer } from "./worker-calls.ts";
import { WorkerThread } from "./worker-thread.ts";

const entry = new URL(import.meta.url.endsWith(".ts") ? "program-worker.ts" : "program-worker.js", import.meta.url);

/** Each part has a copy of weights and gradients, which are added up in one thread. */
const mostShards = 4;

/** In how many equal parts a batch is computed at a time, and with how many threads each. */
export interface Sharding {
  readonly shards: number;
  readonly threads: number;
}

/**
 * As many parts of a batch as there are processors, four at most, if it can be divided so. Parts side by side are faster than one
 * program in as many threads, which meet after every operator.
 *
 * @param threads  to be used in all: as `FLORENCE_THREADS` says, or all processors, if left out
 */
export function shardingOf(batch: number, threads = defaultThreads() ?? availableParallelism()): Sharding {
  let shards = Math.min(batch, threads, mostShards);
  while (batch % shards > 0) shards--;
  return { shards, threads: Math.floor(threads / shards) };
}

/**
 * A program of one part of a batch, run for all parts at a time, each in a worker thread of its own; its outputs are sums
 * over a batch, such as the gradients of a loss, so that those of the parts add up. One part is run in the caller's thread.
 */
export class ShardedProgram {
  readonly #own: Program | undefined;
  readonly #workers: readonly WorkerThread<ProgramCalls>[];

  private constructor(own: Program | undefined, workers: readonly WorkerThread<ProgramCalls>[]) {
    this.#own = own;
    this.#workers = workers;
  }

  /**
   * @param options   the graph of one part
   * @param sharding  one part if left out
   */
  static async create(options: Omit<ProgramOptions, "threads">, sharding?: Sharding): Promise<ShardedProgram> {
    const encoded = encodeProgram(options);
    const { shards = 1, threads } = sharding ?? {};
    if (shards === 1 || threads === undefined) return new ShardedProgram(await loadProgram(encoded, threads), []);
    const workers = Array.from({ length: shards }, () => new WorkerThread<ProgramCalls>(entry));
    try {
      await Promise.all(workers.map((worker) => worker.call("load", { encoded, threads })));
    } catch (error) {
      await Promise.all(workers.map((worker) => worker.terminate()));
      throw error;
    }
    return new ShardedProgram(undefined, workers);
  }

  get shards(): number {
    return Math.max(1, this.#workers.length);
  }

  /**
   * @param shared  fed to every part, such as weights
   * @param parts   what each part is fed besides
   * @returns       the outputs, each the sum over the parts
   */
  async run(
    shared: ReadonlyMap<string, FeedData>,
    parts: readonly ReadonlyMap<string, FeedData>[],
  ): Promise<Record<string, Float32Array>> {
    if (parts.length !== this.shards) {
      throw new ShapeError(`ShardedProgram: there must be ${this.shards} parts, got ${parts.length}`);
    }
    const feeds = parts.map((part) => new Map([...shared, ...part]));
    if (this.#own) return (await this.#own.run(feeds[0] as Map<string, FeedData>)) as Record<string, Float32Array>;
    const results = await Promise.all(
      this.#workers.map((worker, i) => worker.call("run", whollyOwned(feeds[i] as Map<string, FeedData>))),
    );
    return sumOf(results as Record<string, Float32Array>[]);
  }

  async dispose(): Promise<void> {
    await this.#own?.dispose();
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (!worker.hasFailed) await worker.call("dispose", null);
        await worker.terminate();
      }),
    );
  }
}

function whollyOwned(feeds: ReadonlyMap<string, FeedData>): Map<string, FeedData> {
  return new Map([...feeds].map(([name, data]) => [name, wholeBuffer(data)]));
}

/** The first record's arrays become the sums. */
function sumOf(results: readonly Record<string, Float32Array>[]): Record<string, Float32Array> {
  const [sums, ...others] = results as [Record<string, Float32Array>, ...Record<string, Float32Array>[]];
  for (const [name, sum] of Object.entries(sums)) {
    for (const other of others) {
      const values = other[name] as Float32Array;
      for (let i = 0; i < sum.length; i++) sum[i] += values[i];
    }
  }
  return sums;
}
