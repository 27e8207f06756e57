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

/** What a program is fed by name. */
export interface ProgramInput {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
}

/** A graph as ONNX with what is needed to load and run it: values that another thread can be given. */
export interface EncodedProgram {
  readonly bytes: Uint8Array;
  readonly inputs: readonly ProgramInput[];
  readonly outputs: readonly string[];
  readonly nodeCount: number;
  readonly recompute: boolean;
  readonly profile?: string | undefined;
}

/** A graph compiled by ONNX Runtime. `run` blocks this thread's event loop while it computes. */
export class Program {
  readonly inputs: readonly ProgramInput[];
  readonly nodeCount: number;
  readonly #session: ort.InferenceSession;
  readonly #fetches: readonly string[];

  constructor(session: ort.InferenceSession, { inputs, outputs, nodeCount }: EncodedProgram) {
    this.#session = session;
    this.inputs = inputs;
    this.#fetches = outputs;
    this.nodeCount = nodeCount;
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
    for (const { name, dtype, shape } of this.inputs) {
      const data = feeds instanceof Map ? feeds.get(name) : (feeds as Record<string, FeedData>)[name];
      if (!data) throw new UserError("mismatch", `Program.run: ${name} must be fed, it is missing`);
      const size = shape.reduce((product, length) => product * length, 1);
      if (data.length !== size) {
        throw new UserError(
          "mismatch",
          `Program.run: ${name} must hold ${size} values ([${shape.join(", ")}]), got ${data.length}`,
        );
      }
      if (!(data instanceof arrayTypes[dtype])) {
        throw new UserError("mismatch", `Program.run: ${name} must be ${dtype}, got ${data.constructor.name}`);
      }
      wrapped[name] = new ort.Tensor(elementTypes[dtype], data as Float32Array, shape);
    }
    const results = await this.#session.run(wrapped, [...this.#fetches]);
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
export function compile(options: ProgramOptions): Promise<Program> {
  return loadProgram(encodeProgram(options), options.threads);
}

/** The first half of {@link compile}. */
export function encodeProgram(options: ProgramOptions): EncodedProgram {
  const { bytes, inputs, nodeCount } = encodeOnnx({
    parameters: options.parameters ?? new Map(),
    outputs: options.outputs,
    ...(options.weights ? { weights: options.weights } : {}),
  });
  return {
    bytes,
    inputs: inputs.map(({ name, tensor: { dtype, shape } }) => ({ name, dtype, shape })),
    outputs: Object.keys(options.outputs),
    nodeCount,
    recompute: options.recompute ?? false,
    profile: options.profile,
  };
}

/** The second half of {@link compile}. `threads`: as `FLORENCE_THREADS` says, or all processors, if left out. */
export async function loadProgram(encoded: EncodedProgram, threads = defaultThreads()): Promise<Program> {
  const { bytes, recompute, profile } = encoded;
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    executionMode: "sequential",
    logSeverityLevel: 3,
    ...(threads ? { intraOpNumThreads: threads } : {}),
    extra: {
      // Idle pool threads spin for a while after a run; with two programs in turn they would starve each other.
      session: { force_spinning_stop: "1" },
      ...(recompute ? { optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" } } : {}),
    },
    ...(profile ? { enableProfiling: true, profileFilePrefix: profile } : {}),
  });
  return new Program(session, encoded);
}
