import * as ort from "onnxruntime-node";
import type { EncodedGraph } from "../graph/onnx-encoding.ts";
import { defaultThreads } from "./default-threads.ts";

/** An input of a run: its values, row-major, and the length of each axis. */
export interface Feed {
  readonly data: Uint8Array | Int32Array | Float32Array;
  readonly dims: readonly number[];
}

/** What a session is made of; it can be sent to another thread. */
export type SessionFile = Pick<EncodedGraph, "bytes" | "external">;

/**
 * A graph with open axes loaded for inference, its weights built in. `run` blocks this thread while it computes, so
 * sessions live in worker threads.
 */
export class InferenceSession {
  readonly #session: ort.InferenceSession;

  private constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  /** `weights` are those the encoding left outside of the file; they are free to be dropped afterwards. */
  static async load({ bytes, external }: SessionFile, threads = defaultThreads()): Promise<InferenceSession> {
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      executionMode: "sequential",
      logSeverityLevel: 3,
      ...(threads ? { intraOpNumThreads: threads } : {}),
      ...(external.length > 0
        ? { externalData: external.map(({ path, data }) => ({ path, data: bytesOf(data) })) }
        : {}),
      // The joint operator takes longer than the sum and the norm by themselves.
      extra: { optimization: { disable_specified_optimizers: "SkipLayerNormFusion" } },
    });
    return new InferenceSession(session);
  }

  /** @returns  the output's values, row-major */
  async run(feeds: Readonly<Record<string, Feed>>, output: string): Promise<Float32Array> {
    return (await this.runAll(feeds, [output]))[output];
  }

  /** @returns  the values of several outputs by name, row-major */
  async runAll<Output extends string>(
    feeds: Readonly<Record<string, Feed>>,
    outputs: readonly Output[],
  ): Promise<Record<Output, Float32Array>> {
    const wrapped: Record<string, ort.Tensor> = {};
    for (const [name, { data, dims }] of Object.entries(feeds)) wrapped[name] = tensorOf(data, dims);
    const results = await this.#session.run(wrapped, [...outputs]);
    const values = outputs.map((name) => [name, (results[name] as ort.Tensor).data as Float32Array]);
    return Object.fromEntries(values) as Record<Output, Float32Array>;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

function tensorOf(data: Feed["data"], dims: readonly number[]): ort.Tensor {
  if (data instanceof Uint8Array) return new ort.Tensor("uint8", data, dims);
  if (data instanceof Int32Array) return new ort.Tensor("int32", data, dims);
  return new ort.Tensor("float32", data, dims);
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
