/// <reference lib="dom" preserve="true" />

export interface CallOptions {
  /** An abort rejects with the signal's reason: downloads stop at once, computing after the run under way. */
  readonly signal?: AbortSignal | undefined;
}

/** The promise's outcome, or a rejection with the signal's reason if that comes first. */
export function abortable<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    const done = () => signal.removeEventListener("abort", abort);
    promise.then(resolve, reject).finally(done);
  });
}

/**
 * Lets the page's events and timers have their turn. A run without threads answers in a microtask, so that neither a
 * click on "Cancel" nor a timeout would be noticed between two runs. (`setTimeout` would be slowed down in a tab behind.)
 */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
