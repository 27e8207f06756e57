/// <reference lib="dom" preserve="true" />
import type * as ort from "onnxruntime-web/wasm";
import { type CallOptions, nextTask } from "./aborting.ts";
import { SharedLoad } from "./shared-load.ts";

/** The sessions of a model's files: each opened when it is first used, and all freed once and for all by `dispose`. */
export class WebSessions {
  readonly #name: string;
  readonly #open: (file: string, options: CallOptions) => Promise<ort.InferenceSession>;
  readonly #loads = new Map<string, SharedLoad<ort.InferenceSession>>();
  readonly #running = new Set<Promise<unknown>>();
  #isDisposed = false;
  #disposed: Promise<void> | undefined;

  /** @param name  of the model, for messages */
  constructor(name: string, open: (file: string, options: CallOptions) => Promise<ort.InferenceSession>) {
    this.#name = name;
    this.#open = open;
  }

  /** What those are told who use the model too late. */
  get disposedError(): Error {
    return new Error(`${this.#name}: must not be used after dispose()`);
  }

  /** @throws Error after `dispose` */
  requireOpen(): void {
    if (this.#isDisposed) throw this.disposedError;
  }

  /** Runs the session of a file. @throws Error after `dispose`, also one in the meantime; the signal's reason */
  async run(
    file: string,
    feeds: Record<string, ort.Tensor>,
    options: CallOptions = {},
  ): Promise<ort.InferenceSession.ReturnType> {
    this.requireOpen();
    const session = await this.#loadOf(file).get(options);
    this.requireOpen(); // the model may have been disposed of while the file was fetched
    options.signal?.throwIfAborted();
    const running = session.run(feeds);
    this.#running.add(running);
    try {
      const outputs = await running;
      await nextTask();
      options.signal?.throwIfAborted();
      return outputs;
    } finally {
      this.#running.delete(running);
    }
  }

  /**
   * Stops downloads, waits for runs under way and frees every session; those who wait are told. Every call gives the same
   * promise. @throws what a session throws that cannot be freed, when all have been tried
   */
  dispose(): Promise<void> {
    this.#isDisposed = true;
    this.#disposed ??= this.#freeAll();
    return this.#disposed;
  }

  async #freeAll(): Promise<void> {
    const closed = await Promise.allSettled([...this.#loads.values()].map((load) => load.close(this.disposedError)));
    this.#loads.clear();
    for (const outcome of closed) if (outcome.status === "rejected") throw outcome.reason;
  }

  #loadOf(file: string): SharedLoad<ort.InferenceSession> {
    let load = this.#loads.get(file);
    if (!load) {
      load = new SharedLoad(
        (options) => this.#open(file, options),
        async (session) => {
          await Promise.allSettled(this.#running); // a session must not be freed under a run
          await session.release();
        },
      );
      this.#loads.set(file, load);
    }
    return load;
  }
}
