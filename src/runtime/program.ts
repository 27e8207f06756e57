import * as ort from "onnxruntime-node";
import { UserError } from "../core/errors.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import type { DataType, Parameter, Tensor } from "../graph/tensor.ts";
import { defaultThreads } from "./default-threads.ts";

export type FeedData = Float32Array | Int32Array | BigInt64Array | Uint8Array;

export interface ProgramOptions {
  outputs: Readonly<Record<string, Tensor>>;
  /** The parameters the graph may read, by name; fed at every run unless `weights` builds them in. */
  parameters?: ReadonlyMap<string, Parameter>;
  /** Values to build into the program: for inference, where ONNX Runtime can fold and pack them. */
  weights?: ReadonlyMap<string, Float32Array>;
  threads?: number; // all cores by default
  /** The graph holds recomputed segments: keep ONNX Runtime from merging them with their first computation. */
  recompute?: boolean;
  profile?: string; // file prefix of an operator profile
}

/** A graph compiled by ONNX Runtime. `run` blocks this thread's event loop while it computes. */
export class Program {
  readonly inputs: readonly { name: string; tensor: Tensor }[];
  readonly nodeCount: number;
  readonly #session: ort.InferenceSession;
  readonly #fetches: string[];

  constructor(
    session: ort.InferenceSession,
    inputs: { name: string; tensor: Tensor }[],
    outputs: string[],
    nodes: number,
  ) {
    this.#session = session;
    this.inputs = inputs;
    this.#fetches = outputs;
    this.nodeCount = nodes;
  }

  /**
   * Computes every output from the feeds.
   *
   * @param feeds  the data of each input and each parameter that was not built in, row-major; read in place
   * @returns      outputs by name
   */
  async run(
    feeds: Readonly<Record<string, FeedData>> | ReadonlyMap<string, FeedData>,
  ): Promise<Record<string, FeedData>> {
    const wrapped: Record<string, ort.Tensor> = {};
    for (const { name, tensor } of this.inputs) {
      const data = feeds instanceof Map ? feeds.get(name) : (feeds as Record<string, FeedData>)[name];
      if (!data) throw new UserError("mismatch", `Program.run: ${name} must be fed, it is missing`);
      if (data.length !== tensor.size) {
        throw new UserError(
          "mismatch",
          `Program.run: ${name} must hold ${tensor.size} values ([${tensor.shape.join(", ")}]), got ${data.length}`,
        );
      }
      if (!(data instanceof arrayTypes[tensor.dtype])) {
        throw new UserError("mismatch", `Program.run: ${name} must be ${tensor.dtype}, got ${data.constructor.name}`);
      }
      wrapped[name] = new ort.Tensor(elementTypes[tensor.dtype], data as Float32Array, tensor.shape);
    }
    const results = await this.#session.run(wrapped, this.#fetches);
    const outputs: Record<string, FeedData> = {};
    for (const name of this.#fetches) outputs[name] = (results[name] as ort.Tensor).data as FeedData;
    return outputs;
  }

  /** Frees the session; ends a profile and returns its file. */
  async dispose(): Promise<void> {
    await this.#session.release();
  }

  endProfiling(): void {
    this.#session.endProfiling();
  }
}

const elementTypes: Record<DataType, "float32" | "int32" | "int64" | "bool" | "uint8"> = {
  float32: "float32",
  int32: "int32",
  int64: "int64",
  bool: "bool",
  uint8: "uint8",
};

const arrayTypes = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  uint8: Uint8Array,
} as const satisfies Record<DataType, unknown>;

/** Encodes the graph that leads to `outputs` and loads it into ONNX Runtime's CPU provider. */
export async function compile(options: ProgramOptions): Promise<Program> {
  const { bytes, inputs, nodeCount } = encodeOnnx({
    parameters: options.parameters ?? new Map(),
    outputs: options.outputs,
    ...(options.weights ? { weights: options.weights } : {}),
  });
  const threads = options.threads ?? defaultThreads();
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    logSeverityLevel: 3,
    ...(threads ? { intraOpNumThreads: threads } : {}),
    extra: {
      // Idle pool threads spin for a while after a run; with two programs in turn they would starve each other.
      session: { force_spinning_stop: "1" },
      ...(options.recompute
        ? { optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" } }
        : {}),
    },
    ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
  });
  return new Program(session, inputs, Object.keys(options.outputs), nodeCount);
}
