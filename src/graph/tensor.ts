import { ShapeError } from "../core/errors.ts";
import type { Rng } from "../core/rng.ts";

/** Element types the graph can carry. Gradients exist for float32 alone. */
export type DataType = "float32" | "int32" | "int64" | "bool" | "uint8";

export type Shape = readonly number[];

export type AttributeValue = number | string | readonly number[] | { readonly float: number };

/**
 * The vector–Jacobian rule of one operator: from the gradients of its outputs (undefined where nothing flows back) to
 * those of its inputs (undefined where there is none), written in other operators of the graph.
 */
export type GradientRule = (outputGradients: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[];

/** One ONNX operator at work in the graph. */
export interface OperatorNode {
  readonly id: number; // grows with creation, so that it is a topological order
  readonly type: string;
  readonly domain: "" | "com.microsoft";
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly outputs: Tensor[];
  readonly gradient: GradientRule | undefined;
}

export type ConstantData = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** Where a tensor's values come from. `alias` gives another tensor's values with a gradient rule of its own. */
export type TensorSource =
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "parameter" }
  | { readonly kind: "constant"; readonly data: ConstantData }
  | { readonly kind: "operator"; readonly node: OperatorNode; readonly index: number }
  | { readonly kind: "alias"; readonly node: OperatorNode; readonly of: Tensor; readonly index: number };

/** A value of the static graph: known shape and type, no data until a compiled program runs. */
export class Tensor {
  readonly shape: Shape;
  readonly dtype: DataType;
  readonly source: TensorSource;

  constructor(shape: Shape, dtype: DataType, source: TensorSource) {
    this.shape = shape;
    this.dtype = dtype;
    this.source = source;
  }

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return sizeOf(this.shape);
  }
}

/** Fills a parameter with its starting values. */
export type Initializer = (data: Float32Array, rng: Rng) => void;

/**
 * A learnable tensor. It holds no values: they live in a parameter store under the name that the module tree gives it,
 * so a model of any size can be built, counted and encoded without allocating its weights.
 */
export class Parameter extends Tensor {
  readonly initialize: Initializer;

  constructor(shape: Shape, initialize: Initializer) {
    super(shape, "float32", { kind: "parameter" });
    this.initialize = initialize;
  }
}

let nextNodeId = 1;

/** What an operator function hands to `operator`: its ONNX form, its output shapes and its gradient rule. */
export interface OperatorSpec {
  type: string;
  domain?: "" | "com.microsoft";
  inputs: readonly (Tensor | undefined)[];
  attributes?: Record<string, AttributeValue>;
  outputs: readonly { shape: Shape; dtype?: DataType }[];
  gradient?: GradientRule;
}

/** Adds an operator to the graph and returns its outputs. */
export function operator(spec: OperatorSpec): Tensor[] {
  const node: OperatorNode = {
    id: nextNodeId++,
    type: spec.type,
    domain: spec.domain ?? "",
    inputs: spec.inputs,
    attributes: spec.attributes ?? {},
    outputs: [],
    gradient: spec.gradient,
  };
  for (const [index, { shape, dtype }] of spec.outputs.entries()) {
    for (const axis of shape) {
      if (!Number.isInteger(axis) || axis < 0) {
        throw new ShapeError(`${spec.type}: every axis must be a whole number ≥ 0, got output [${shape.join(", ")}]`);
      }
    }
    node.outputs.push(new Tensor([...shape], dtype ?? "float32", { kind: "operator", node, index }));
  }
  return node.outputs;
}

/** Adds an operator with a single output. */
export function singleOperator(spec: Omit<OperatorSpec, "outputs"> & { shape: Shape; dtype?: DataType }): Tensor {
  const { shape, dtype, ...rest } = spec;
  return operator({ ...rest, outputs: [{ shape, dtype: dtype ?? "float32" }] })[0] as Tensor;
}

/**
 * Gives `values` again under a gradient rule of the caller's, whose inputs are `inputs`; no operator is run for it.
 * Activation checkpointing and custom gradients are built on this.
 */
export function alias(values: readonly Tensor[], inputs: readonly Tensor[], gradient: GradientRule): Tensor[] {
  const node: OperatorNode = {
    id: nextNodeId++,
    type: "Alias",
    domain: "",
    inputs,
    attributes: {},
    outputs: [],
    gradient,
  };
  for (const [index, of] of values.entries()) {
    node.outputs.push(new Tensor(of.shape, of.dtype, { kind: "alias", node, of, index }));
  }
  return node.outputs;
}

/** A value fed at every run, by `name`. */
export function input(name: string, shape: Shape, dtype: DataType = "float32"): Tensor {
  return new Tensor([...shape], dtype, { kind: "input", name });
}

/** A value fixed at build time; the type follows from the array. */
export function constant(data: ConstantData, shape: Shape, dtype?: DataType): Tensor {
  if (sizeOf(shape) !== data.length) {
    throw new ShapeError(
      `constant: shape [${shape.join(", ")}] must hold ${data.length} values, it holds ${sizeOf(shape)}`,
    );
  }
  return new Tensor([...shape], dtype ?? dataTypeOf(data), { kind: "constant", data });
}

/** A float32 constant without axes. */
export function scalar(value: number): Tensor {
  return constant(Float32Array.of(value), []);
}

/** A list of whole numbers as ONNX wants its axes, shapes and pads: int64, one axis. */
export function int64List(values: readonly number[]): Tensor {
  return constant(BigInt64Array.from(values, BigInt), [values.length]);
}

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const axis of shape) size *= axis;
  return size;
}

/** `[2, 3]` for messages. */
export function formatShape(tensor: Tensor | Shape): string {
  const shape = tensor instanceof Tensor ? tensor.shape : tensor;
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((axis, i) => axis === b[i]);
}

/** The axis as an index from the front; negative axes count from the back. */
export function resolveAxis(axis: number, rank: number, operatorName: string): number {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank) {
    throw new ShapeError(`${operatorName}: axis must lie in [-${rank}, ${rank}), got ${axis}`);
  }
  return resolved;
}

function dataTypeOf(data: ConstantData): DataType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof BigInt64Array) return "int64";
  return "uint8";
}
