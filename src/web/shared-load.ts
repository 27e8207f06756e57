/// <reference lib="dom" preserve="true" />
import { abortable, type CallOptions } from "./aborting.ts";

interface Loading<Value> {
  readonly controller: AbortController;
  readonly value: Promise<Value>;
  waiting: number; // callers
  isSettled: boolean;
}

/**
 * A value that is loaded when it is first asked for and shared by all who ask. A load that fails is not kept: the next
 * call tries again. An abort of one caller leaves the others' load alone; that of the last one stops it.
 */
export class SharedLoad<Value> {
  readonly #load: (options: CallOptions) => Promise<Value>;
  readonly #release: (value: Value) => Promise<void>;
  #current: Loading<Value> | undefined;

  /** @param release  frees a value that nobody is given, and that of a closed load */
  constructor(
    load: (options: CallOptions) => Promise<Value>,
    release: (value: Value) => Promise<void> = async () => undefined,
  ) {
    this.#load = load;
    this.#release = release;
  }

  /** The value, loaded if it is not there. @throws the signal's reason after an abort */
  async get({ signal }: CallOptions = {}): Promise<Value> {
    signal?.throwIfAborted();
    this.#current ??= this.#start();
    const loading = this.#current;
    loading.waiting++;
    try {
      return await abortable(loading.value, signal);
    } finally {
      loading.waiting--;
      if (loading.waiting === 0 && !loading.isSettled) {
        this.#forget(loading);
        loading.controller.abort(signal?.reason);
      }
    }
  }

  /**
   * Rejects those who wait with the reason, and frees what is loaded or comes of the load under way. The owner sees to it
   * that nobody asks afterwards. @throws what the release throws
   */
  async close(reason: unknown): Promise<void> {
    const loading = this.#current;
    if (!loading) return;
    this.#forget(loading);
    loading.controller.abort(reason);
    let value: Value;
    try {
      value = await loading.value;
    } catch {
      return; // nothing to free; those who wait for it are told
    }
    await this.#release(value);
  }

  #start(): Loading<Value> {
    const controller = new AbortController();
    const value = this.#loaded(controller.signal);
    const loading: Loading<Value> = { controller, value, waiting: 0, isSettled: false };
    value.then(
      () => {
        loading.isSettled = true;
      },
      () => {
        loading.isSettled = true;
        this.#forget(loading);
      },
    );
    return loading;
  }

  async #loaded(signal: AbortSignal): Promise<Value> {
    const value = await this.#load({ signal });
    if (!signal.aborted) return value;
    await this.#release(value); // it was made all the same, for not every step of a load can be stopped
    throw signal.reason;
  }

  #forget(loading: Loading<Value>): void {
    if (this.#current === loading) this.#current = undefined;
  }
}
