import { describe, expect, it } from "vitest";
import { findBreaches, type ImportEdge } from "../scripts/layers.ts";

function edge(from: string, to: string, { typeOnly = false } = {}): ImportEdge {
  return { from, to, isInternal: to.endsWith(".ts"), isTypeOnly: typeOnly };
}

describe("findBreaches", () => {
  it.each([
    edge("nn/linear.ts", "graph/tensor.ts"),
    edge("nn/linear.ts", "nn/module.ts"),
    edge("index.ts", "cli/main.ts"),
    edge("io/images.ts", "sharp"),
    edge("io/images.ts", "node:fs"),
    edge("graph/onnx-encoding.ts", "onnx-proto"),
    edge("data/resize.ts", "core/image.ts"),
    edge("tasks/depth/depth.ts", "tasks/task.ts"), // shared by all tasks
    edge("tasks/depth/depth.ts", "tasks/depth/loss.ts"),
    edge("models/vit.ts", "node:fs", { typeOnly: true }),
  ])("allows $from → $to", (allowed) => {
    expect(findBreaches([allowed])).toEqual([]);
  });

  it.each([
    { breach: edge("core/shapes.ts", "graph/tensor.ts"), says: "imports upward" },
    { breach: edge("tasks/depth/depth.ts", "zoo/load-model.ts"), says: "imports sideways" },
    { breach: edge("tasks/depth/depth.ts", "zoo/load-model.ts", { typeOnly: true }), says: "imports sideways" },
    { breach: edge("graph/tensor.ts", "metrics/accuracy.ts"), says: "imports sideways" },
    { breach: edge("tasks/depth/depth.ts", "tasks/detection/boxes.ts"), says: "imports its sibling" },
    { breach: edge("cli/commands/search.ts", "cli/commands/embed.ts"), says: "imports its sibling" },
    { breach: edge("nn/linear.ts", "node:fs"), says: "is pure, but imports node:fs" },
    { breach: edge("nn/linear.ts", "sharp"), says: "is pure, but imports sharp" },
    { breach: edge("models/vit.ts", "io/safetensors.ts"), says: "is pure, but imports impure" },
    { breach: edge("data/resize.ts", "data/shards.ts"), says: "is pure, but imports impure" },
    { breach: edge("zoo/registry.ts", "index.ts"), says: "above every layer" },
    { breach: edge("helpers/text.ts", "core/errors.ts"), says: "has no rank" },
  ])("refuses $breach.from → $breach.to: $says", ({ breach, says }) => {
    expect(findBreaches([breach]).join("\n")).toContain(says);
  });

  it("finds cycles of value imports, not of types", () => {
    const cycle = [edge("nn/a.ts", "nn/b.ts"), edge("nn/b.ts", "nn/c.ts"), edge("nn/c.ts", "nn/a.ts")];
    expect(findBreaches(cycle)).toEqual(["import cycle: nn/a.ts → nn/b.ts → nn/c.ts → nn/a.ts"]);
    expect(findBreaches([...cycle.slice(0, 2), edge("nn/c.ts", "nn/a.ts", { typeOnly: true })])).toEqual([]);
  });
});
