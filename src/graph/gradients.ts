import { ShapeError } from "../core/errors.ts";
import { add, expand } from "./broadcasting.ts";
import { formatShape, type OperatorNode, sameShape, scalar, type Tensor } from "./tensor.ts";

/**
 * Gradients of a scalar by reverse-mode differentiation, carried out on the graph at build time: what comes back is
 * more graph, to be compiled together with the loss.
 *
 * @param loss  float32, one element
 * @param of    the tensors to differentiate by: parameters, inputs or results in between
 * @param seed  the gradient of `loss` itself, of its shape; 1 by default. A seed of any shape differentiates ⟨loss, seed⟩
 * @returns     one gradient for each of `of`, of the same shape; undefined where `loss` does not depend on it
 */
export function gradients(loss: Tensor, of: readonly Tensor[], seed?: Tensor): (Tensor | undefined)[] {
  if (seed === undefined && loss.size !== 1) {
    throw new ShapeError(
      `gradients: the loss must have one element, got ${formatShape(loss)}. Sum or average it first`,
    );
  }
  return gradientsOfMany([[loss, seed ?? expand(scalar(1), loss.shape)]], of);
}

/** As `gradients`, of the sum of ⟨output, gradient⟩ over several outputs. */
export function gradientsOfMany(
  outputs: readonly (readonly [Tensor, Tensor])[],
  of: readonly Tensor[],
): (Tensor | undefined)[] {
  const nodes = nodesBetween(
    outputs.map(([output]) => output),
    new Set(of),
  );
  const flowing = new Map<Tensor, Tensor>();
  for (const [output, gradient] of outputs) accumulate(flowing, output, gradient);

  for (const node of nodes) {
    const incoming = node.outputs.map((output) => flowing.get(output));
    if (incoming.every((gradient) => gradient === undefined)) continue;
    if (!node.gradient)
      throw new ShapeError(`gradients: ${node.type} has no gradient rule, yet one must pass through it`);
    const back = node.gradient(incoming);
    for (const [i, source] of node.inputs.entries()) {
      const gradient = back[i];
      if (source && gradient) accumulate(flowing, source, gradient);
    }
  }
  return of.map((tensor) => flowing.get(tensor));
}

function accumulate(flowing: Map<Tensor, Tensor>, tensor: Tensor, gradient: Tensor): void {
  if (!sameShape(tensor.shape, gradient.shape)) {
    const from = "node" in tensor.source ? tensor.source.node.type : tensor.source.kind;
    throw new ShapeError(
      `gradients: a gradient must have its tensor's shape ${formatShape(tensor)} (output of ${from}), got ${formatShape(gradient)}`,
    );
  }
  const before = flowing.get(tensor);
  flowing.set(tensor, before ? add(before, gradient) : gradient);
}

/** The operators on a path from any of `of` to any of `outputs`, last first. */
function nodesBetween(outputs: readonly Tensor[], of: ReadonlySet<Tensor>): OperatorNode[] {
  const ancestors = new Map<OperatorNode, true>();
  const stack = outputs.map(nodeOf).filter((node) => node !== undefined);
  while (stack.length > 0) {
    const node = stack.pop() as OperatorNode;
    if (ancestors.has(node)) continue;
    ancestors.set(node, true);
    for (const source of node.inputs) {
      const parent = source && nodeOf(source);
      if (parent && !ancestors.has(parent)) stack.push(parent);
    }
  }
  const ordered = [...ancestors.keys()].sort((a, b) => a.id - b.id);
  const leading = new Set<OperatorNode>();
  for (const node of ordered) {
    const depends = node.inputs.some((source) => {
      if (!source) return false;
      const parent = nodeOf(source);
      return of.has(source) || (parent !== undefined && leading.has(parent));
    });
    if (depends) leading.add(node);
  }
  return ordered.filter((node) => leading.has(node)).reverse();
}

function nodeOf(tensor: Tensor): OperatorNode | undefined {
  const { source } = tensor;
  return source.kind === "operator" || source.kind === "alias" ? source.node : undefined;
}
