import { UserError } from "../core/errors.ts";
import { int64List, type OperatorNode, operator, type Shape, singleOperator, type Tensor } from "./tensor.ts";
import { resolveAlias } from "./traversal.ts";

/** An axis whose length is to be left open until a run. */
export interface DynamicAxis {
  readonly name: string;
  /** Lengths to build the graph with: two to derive from and one to check on; none may be a special case. */
  readonly probes: readonly [number, number, number];
  /** The graph input, and which axis of it, that has this length in a run. */
  readonly input: string;
  readonly axis: number;
}

export interface DynamicGraph {
  readonly outputs: Record<string, Tensor>;
  /** Names of the open axes of inputs and outputs, as `encodeOnnx` takes them. */
  readonly axisNames: Record<string, (string | undefined)[]>;
}

/** What a graph must be built for: a length for each open axis, by name. */
export type AxisSizes = Readonly<Record<string, number>>;

/**
 * Turns a graph of fixed shapes into one with open axes: it is built for several lengths, and each shape that an
 * operator is told and that differs is derived from the lengths: as the one inferred axis of a `Reshape`, else computed
 * in the graph. Only products of lengths are derived, and a third build must agree with them.
 *
 * @param build  the outputs for given lengths; parameters must be the same objects in each call
 * @throws UserError `unsupported` naming the operator that does not keep its form when a length changes
 */
export function withDynamicAxes(
  axes: readonly DynamicAxis[],
  build: (sizes: AxisSizes) => Readonly<Record<string, Tensor>>,
): DynamicGraph {
  const at = (probe: (axis: DynamicAxis) => number) =>
    Object.fromEntries(axes.map((axis) => [axis.name, probe(axis)])) as AxisSizes;
  const sizes = [
    at(({ probes }) => probes[0]),
    ...axes.map((varied) => at((axis) => axis.probes[axis === varied ? 1 : 0])),
    at(({ probes }) => probes[2]),
  ];
  const builds = sizes.map(build);
  const rewriter = new Rewriter(axes, sizes, inputsOf(Object.values(builds[0] as object)));
  const outputs: Record<string, Tensor> = {};
  const axisNames: Record<string, (string | undefined)[]> = {};
  for (const name of Object.keys(builds[0] as object)) {
    const variants = builds.map((outputsOf) => outputsOf[name] as Tensor);
    outputs[name] = rewriter.rewrite(variants, `output ${name}`);
    axisNames[name] = rewriter.axisNames(variants, name);
  }
  for (const [name, variants] of rewriter.inputs) axisNames[name] = rewriter.axisNames(variants, name);
  return { outputs, axisNames };
}

/** A length as a whole factor times open axes. */
interface Product {
  readonly factor: number;
  readonly axes: readonly DynamicAxis[];
}

/** Walks the builds side by side and writes the first anew. Variants: one tensor a build, in the builds' order. */
class Rewriter {
  readonly inputs = new Map<string, readonly Tensor[]>();
  readonly #axes: readonly DynamicAxis[];
  readonly #sizes: readonly AxisSizes[];
  readonly #lengthSources: ReadonlyMap<string, Tensor>;
  readonly #tensors = new Map<Tensor, Tensor>();
  readonly #nodes = new Map<OperatorNode, Tensor[]>();
  readonly #computed = new Map<string, Tensor>();

  constructor(axes: readonly DynamicAxis[], sizes: readonly AxisSizes[], inputs: ReadonlyMap<string, Tensor>) {
    this.#axes = axes;
    this.#sizes = sizes;
    this.#lengthSources = inputs;
  }

  /** @param user  what reads the tensor, for errors */
  rewrite(aliased: readonly Tensor[], user: string): Tensor {
    const variants = aliased.map(resolveAlias);
    const first = variants[0] as Tensor;
    const known = this.#tensors.get(first);
    if (known) return known;
    const rewritten = this.#rewriteNew(variants, user);
    this.#tensors.set(first, rewritten);
    return rewritten;
  }

  axisNames(variants: readonly Tensor[], name: string): (string | undefined)[] {
    const first = variants[0] as Tensor;
    return first.shape.map((_, i) => {
      const { factor, axes } = this.#productOf(
        variants.map(({ shape }) => shape[i] as number),
        name,
      );
      if (axes.length === 0) return undefined;
      return [...(factor === 1 ? [] : [factor]), ...axes.map((axis) => axis.name)].join("*");
    });
  }

  #rewriteNew(variants: readonly Tensor[], user: string): Tensor {
    const first = variants[0] as Tensor;
    const { source } = first;
    if (variants.some((variant) => variant.source.kind !== source.kind)) throw changed(user);
    if (source.kind === "operator") return this.#rewriteNode(variants)[source.index] as Tensor;
    if (source.kind === "constant") {
      if (variants.every((variant) => sameConstant(variant, first))) return first;
      if (first.dtype !== "int64" || first.rank !== 1) throw changed(user, "a constant that depends on it");
      return this.#list(variants, user);
    }
    if (source.kind === "input") {
      if (variants.some(({ source: other }) => other.kind === "input" && other.name !== source.name)) {
        throw changed(user);
      }
      this.inputs.set(source.name, variants);
      return first;
    }
    if (variants.some((variant) => variant !== first)) throw changed(user, "parameters of its own");
    return first;
  }

  #rewriteNode(variants: readonly Tensor[]): Tensor[] {
    const nodes = variants.map(nodeOf);
    const node = nodes[0] as OperatorNode;
    const known = this.#nodes.get(node);
    if (known) return known;
    const form = formOf(node);
    if (nodes.some((other) => formOf(other) !== form)) throw changed(node.type);
    const inputs = node.inputs.map((operand, i) => {
      if (!operand) return undefined;
      const operands = nodes.map(({ inputs: others }) => others[i] as Tensor);
      if (node.type === "Reshape" && i === 1) return this.#reshapeTarget(operands, node.type);
      return this.rewrite(operands, node.type);
    });
    const outputs = operator({
      type: node.type,
      domain: node.domain,
      inputs,
      attributes: { ...node.attributes },
      outputs: node.outputs.map(({ shape, dtype }) => ({ shape, dtype })),
    });
    this.#nodes.set(node, outputs);
    return outputs;
  }

  /** A target with one open axis needs no computation: −1 is inferred from the size. */
  #reshapeTarget(variants: readonly Tensor[], user: string): Tensor {
    const lists = variants.map(integersOf);
    const first = lists[0] as number[];
    if (lists.some((list) => list.length !== first.length)) throw changed(user);
    const open = first.flatMap((value, i) => (lists.every((list) => list[i] === value) ? [] : [i]));
    if (open.length !== 1 || first.includes(0)) return this.rewrite(variants, user);
    this.#productOf(
      lists.map((list) => list[open[0] as number] as number),
      user,
    );
    return int64List(first.map((value, i) => (i === open[0] ? -1 : value)));
  }

  /** A list of whole numbers, computed from the lengths of a run. */
  #list(variants: readonly Tensor[], user: string): Tensor {
    const lists = variants.map(integersOf);
    const first = lists[0] as number[];
    if (lists.some((list) => list.length !== first.length)) throw changed(user);
    const products = first.map((_, i) =>
      this.#productOf(
        lists.map((list) => list[i] as number),
        user,
      ),
    );
    const parts = products.map((product) => this.#compute(product));
    if (parts.length === 1) return parts[0] as Tensor;
    const key = products.map(keyOf).join();
    return this.#once(key, () =>
      singleOperator({
        type: "Concat",
        inputs: parts,
        attributes: { axis: 0 },
        shape: [parts.length],
        dtype: "int64",
      }),
    );
  }

  /** The product as int64 [1]. */
  #compute({ factor, axes }: Product): Tensor {
    const [axis, ...others] = axes;
    if (!axis) return int64List([factor]);
    return this.#once(keyOf({ factor, axes }), () => {
      if (factor === 1 && others.length === 0) return this.#lengthOf(axis);
      const rest = factor === 1 ? { factor: 1, axes: others } : { factor: 1, axes };
      const by = factor === 1 ? this.#lengthOf(axis) : int64List([factor]);
      return singleOperator({ type: "Mul", inputs: [this.#compute(rest), by], shape: [1], dtype: "int64" });
    });
  }

  #lengthOf(axis: DynamicAxis): Tensor {
    return this.#once(`length ${axis.name}`, () => {
      const source = this.#lengthSources.get(axis.input);
      if (!source) throw changed(`axis ${axis.name}`, `no input ${axis.input} to take its length from`);
      return singleOperator({
        type: "Shape",
        inputs: [source],
        attributes: { start: axis.axis, end: axis.axis + 1 },
        shape: [1],
        dtype: "int64",
      });
    });
  }

  #once(key: string, create: () => Tensor): Tensor {
    const known = this.#computed.get(key) ?? create();
    this.#computed.set(key, known);
    return known;
  }

  /** What a length that has `values` in the builds is made of. */
  #productOf(values: readonly number[], user: string): Product {
    const base = values[0] as number;
    const axes = this.#axes.filter((axis, i) => {
      const value = values[i + 1] as number;
      if (value === base) return false;
      if (value * axis.probes[0] === base * axis.probes[1]) return true;
      throw changed(user, `a length that is no multiple of ${axis.name}`);
    });
    const predict = (sizes: AxisSizes) => axes.reduce((product, { name }) => product * (sizes[name] as number), 1);
    const factor = base / predict(this.#sizes[0] as AxisSizes);
    const last = this.#sizes.length - 1;
    if (!Number.isInteger(factor) || factor * predict(this.#sizes[last] as AxisSizes) !== values[last]) {
      throw changed(user, "a length that is no product of the axes");
    }
    return { factor, axes };
  }
}

/** The graph's inputs by name. */
function inputsOf(outputs: readonly Tensor[]): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  const seen = new Set<Tensor>();
  const stack = outputs.map(resolveAlias);
  for (let tensor = stack.pop(); tensor; tensor = stack.pop()) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    const { source } = tensor;
    if (source.kind === "input") found.set(source.name, tensor);
    if (source.kind !== "operator") continue;
    for (const operand of source.node.inputs) if (operand) stack.push(resolveAlias(operand));
  }
  return found;
}

function keyOf({ factor, axes }: Product): string {
  return [factor, ...axes.map(({ name }) => name)].join("*");
}

function nodeOf({ source }: Tensor): OperatorNode {
  if (source.kind !== "operator") throw new TypeError("withDynamicAxes: an operator's output was expected");
  return source.node;
}

/** All of an operator but its operands; graphs that differ in it differ in structure. */
function formOf({ type, domain, attributes, inputs, outputs }: OperatorNode): string {
  return JSON.stringify([type, domain, attributes, inputs.map(Boolean), outputs.length]);
}

function sameConstant(a: Tensor, b: Tensor): boolean {
  if (a.source.kind !== "constant" || b.source.kind !== "constant") return false;
  const [left, right]: [ArrayLike<number | bigint>, ArrayLike<number | bigint>] = [a.source.data, b.source.data];
  if (a.dtype !== b.dtype || !sameList(a.shape, b.shape)) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

function sameList(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function integersOf({ source }: Tensor): number[] {
  if (source.kind !== "constant") throw changed("Reshape", "a target that is computed");
  return Array.from(source.data as BigInt64Array, Number);
}

function changed(subject: string, what = "another form"): UserError {
  return new UserError(
    "unsupported",
    `withDynamicAxes: every operator must keep its form when an axis changes, got ${subject} with ${what}.`,
  );
}
