import type { OperatorNode, Tensor } from "./tensor.ts";

/** The tensor whose values an alias gives; any other is itself. */
export function resolveAlias(tensor: Tensor): Tensor {
  let current = tensor;
  while (current.source.kind === "alias") current = current.source.of;
  return current;
}

/** All operators that `outputs` depend on, operands before users. */
export function nodesInOrder(
  outputs: readonly Tensor[],
  operandsOf: (node: OperatorNode) => OperatorNode["inputs"] = (node) => node.inputs,
): OperatorNode[] {
  const visited = new Set<OperatorNode>();
  const stack = [...outputs];
  while (stack.length > 0) {
    const { source } = resolveAlias(stack.pop() as Tensor);
    if (source.kind !== "operator" || visited.has(source.node)) continue;
    visited.add(source.node);
    for (const operand of operandsOf(source.node)) if (operand) stack.push(operand);
  }
  return [...visited].sort((a, b) => a.id - b.id);
}
