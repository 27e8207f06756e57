import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type TransferListItem, Worker } from "node:worker_threads";
import { onAbort } from "./abort-listeners.ts";
import { type AnswerMessage, type CallMessage, type CallTable, errorOf } from "./worker-calls.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Buffers that are handed over to the worker and cannot be used here afterwards. */
  readonly transfer?: readonly TransferListItem[];
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A worker thread that answers calls. It keeps the process alive only while a call is under way.
 *
 * @see serveCalls for the other side
 */
export class WorkerThread<Calls extends CallTable> {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #failure: Error | undefined;

  /** `entry`: the worker's script, TypeScript where the caller runs from source. */
  constructor(entry: URL) {
    this.#worker = startWorker(entry);
    this.#worker.unref();
    this.#worker.on("message", (message: AnswerMessage) => this.#settle(message));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error(`worker ${fileURLToPath(entry)}: ended early`)));
  }

  /** Calls that are not answered yet. */
  get load(): number {
    return this.#waiting.size;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** An abort rejects at once with the signal's reason; the worker stops at its next chance, its answer is dropped. */
  call<Method extends keyof Calls & string>(
    method: Method,
    payload: Parameters<Calls[Method]>[0],
    { signal, transfer = [] }: CallOptions = {},
  ): Promise<ReturnType<Calls[Method]>> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#failure) throw this.#failure;
      const id = ++this.#lastId;
      const abort = () => {
        this.#worker.postMessage({ cancel: id } satisfies CallMessage);
        this.#forget(id);
        reject(signal?.reason);
      };
      const done = onAbort(signal, abort);
      this.#waiting.set(id, {
        resolve: (result) => {
          done();
          resolve(result as ReturnType<Calls[Method]>);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#worker.ref();
      try {
        this.#worker.postMessage({ id, method, payload } satisfies CallMessage, transfer);
      } catch (error) {
        this.#forget(id); // such as a buffer that was handed over elsewhere: no answer will come
        done();
        throw error;
      }
    });
  }

  /** Ends the thread; native code that it is in comes to its end first. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(message: AnswerMessage): void {
    const waiting = this.#waiting.get(message.id);
    this.#forget(message.id);
    if (!waiting) return; // given up by an abort
    if ("error" in message) waiting.reject(errorOf(message.error));
    else waiting.resolve(message.result);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }

  #forget(id: number): void {
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
  }
}

/** Run from source, a worker knows nothing of the loader that its parent has, so it is given tsx. */
function startWorker(entry: URL): Worker {
  if (!entry.pathname.endsWith(".ts")) return new Worker(entry);
  const resolved = createRequire(import.meta.url).resolve("tsx/esm/api"); // the build for require(), which has no loader
  const tsx = pathToFileURL(resolved.replace(/\.cjs$/, ".mjs")).href;
  const bootstrap = `
    const { tsx, entry } = require("node:worker_threads").workerData;
    import(tsx).then(({ register }) => { register(); return import(entry); });
  `;
  return new Worker(bootstrap, { eval: true, workerData: { tsx, entry: entry.href } });
}
