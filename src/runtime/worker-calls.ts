import { type MessagePort, parentPort } from "node:worker_threads";
import { ShapeError, UserError, type UserErrorCode } from "../core/errors.ts";

/** What a worker answers to: a payload and a result by method, all of them values that can be cloned. */
export type CallTable = Record<string, (payload: never) => unknown>;

export type CallHandlers<Calls extends CallTable> = {
  readonly [Method in keyof Calls]: (
    payload: Parameters<Calls[Method]>[0],
    signal: AbortSignal,
  ) => Promise<ReturnType<Calls[Method]>>;
};

/** From the owner: a call, or that the answer to one is not wanted any more. */
export type CallMessage =
  | { readonly id: number; readonly method: string; readonly payload: unknown }
  | { readonly cancel: number };

export interface ErrorRecord {
  readonly kind: "UserError" | "ShapeError" | "Error";
  readonly code?: UserErrorCode;
  readonly message: string;
  readonly stack?: string | undefined;
}

/** From the worker: an answer. */
export type AnswerMessage =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ErrorRecord };

/**
 * Answers the calls of a {@link WorkerThread} in this worker. A handler's signal is aborted when the caller gives up;
 * arrays that fill their buffer are handed over in the answer, not copied.
 */
export function serveCalls<Calls extends CallTable>(handlers: CallHandlers<Calls>): void {
  const port = parentPort as MessagePort | null;
  if (!port) throw new Error("serveCalls: must run in a worker thread, got the main one");
  const running = new Map<number, AbortController>();
  port.on("message", async (message: CallMessage) => {
    if ("cancel" in message) {
      running.get(message.cancel)?.abort();
      return;
    }
    const { id, method } = message;
    const payload = message.payload as Parameters<Calls[string]>[0]; // what the caller's own table of types let through
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const result = await (handlers[method] as CallHandlers<Calls>[string])(payload, controller.signal);
      port.postMessage({ id, result } satisfies AnswerMessage, ownedBuffers(result));
    } catch (error) {
      port.postMessage({ id, error: recordOf(error) } satisfies AnswerMessage);
    } finally {
      running.delete(id);
    }
  });
}

/** The error that a record was made of, as the caller throws it. */
export function errorOf({ kind, code, message, stack }: ErrorRecord): Error {
  if (kind === "UserError") return new UserError(code ?? "corrupt", message);
  const error = kind === "ShapeError" ? new ShapeError(message) : new Error(message);
  if (stack) error.stack = `${stack}\n    (in a worker thread)`;
  return error;
}

function recordOf(error: unknown): ErrorRecord {
  if (error instanceof UserError) return { kind: "UserError", code: error.code, message: error.message };
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { kind: error instanceof ShapeError ? "ShapeError" : "Error", message, stack };
}

/** An array that is sent alone: of one that is a part of a larger buffer a copy, since the whole buffer would be sent with it. */
export function wholeBuffer<Data extends Sendable>(data: Data): Data {
  if (data.byteLength === data.buffer.byteLength) return data;
  return (data instanceof Uint8Array ? new Uint8Array(data) : data.slice()) as Data; // a Buffer's slice would be no copy
}

type Sendable = Uint8Array | Int8Array | Int32Array | Float32Array | BigInt64Array;

/** Buffers of a value's arrays, at any depth of plain objects and lists, that belong to one array alone: to be handed over. */
export function ownedBuffers(value: unknown): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  const visit = (part: unknown): void => {
    if (ArrayBuffer.isView(part)) {
      if (part.buffer instanceof ArrayBuffer && part.byteLength === part.buffer.byteLength) buffers.add(part.buffer);
    } else if (typeof part === "object" && part) Object.values(part).forEach(visit);
  };
  visit(value);
  return [...buffers];
}
