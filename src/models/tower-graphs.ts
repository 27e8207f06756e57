import { type DynamicAxis, type DynamicGraph, withDynamicAxes } from "../graph/dynamic-axes.ts";
import { input } from "../graph/tensor.ts";
import { textInputs } from "./text-encoder/text-batch.ts";
import { textTreeInputs } from "./text-encoder/text-tree.ts";
import type { TwoTower } from "./two-tower.ts";

/** Texts of fewer tokens than this cannot show how a graph depends on their length. */
const shortestDynamicContext = 6;

/** Whether a text tower of a context length is built for any number of tokens up to it, or for all of it alone. */
export function textLengthOf(contextLength: number): "dynamic" | "context" {
  return contextLength >= shortestDynamicContext ? "dynamic" : "context";
}

/**
 * The image tower for any batch: `pixels` uint8 [batch, size, size, 3] → `embedding` [batch, D], of length 1, and
 * `features` [batch, F], what the encoder pools, before the projection and not normalised.
 */
export function imageTowerGraph(tower: TwoTower, size: number): DynamicGraph {
  return withDynamicAxes([batchOf("pixels")], ({ batch = 1 }) => {
    const pixels = input("pixels", [batch, size, size, 3], "uint8");
    const features = tower.imageFeatures(pixels, { wholeBatch: true, fixedWeights: true });
    return { embedding: tower.embedImageFeatures(features), features };
  });
}

/**
 * The text tower for any batch and, unless `length` is "context", any length: `ids` int32 and `mask` float32
 * [batch, tokens] → `embedding` [batch, D], of length 1.
 */
export function textTowerGraph(
  tower: TwoTower,
  contextLength: number,
  length: "dynamic" | "context" = textLengthOf(contextLength),
): DynamicGraph {
  const tokens: DynamicAxis = { name: "tokens", probes: [3, 4, 5], input: "ids", axis: 1 };
  const axes = [batchOf("ids"), ...(length === "dynamic" ? [tokens] : [])];
  return withDynamicAxes(axes, ({ batch = 1, tokens: count = contextLength }) => ({
    embedding: tower.embedTexts(textInputs(batch, count, "")),
  }));
}

/**
 * The text tower for any tree of texts: `ids` and `positions` int32 [tokens], `visible` float32 [tokens, tokens] and
 * `ends` int32 [texts] → `embedding` [texts, D], of length 1.
 *
 * @param tower  one that {@link TwoTower.readsTextTrees}
 */
export function textTreeGraph(tower: TwoTower): DynamicGraph {
  const tokens: DynamicAxis = { name: "tokens", probes: [5, 7, 11], input: "ids", axis: 0 };
  const texts: DynamicAxis = { name: "texts", probes: [2, 3, 4], input: "ends", axis: 0 };
  return withDynamicAxes([tokens, texts], ({ tokens: length = 5, texts: count = 2 }) => ({
    embedding: tower.embedTextTree(textTreeInputs(length, count)),
  }));
}

/** The graph with one of its outputs alone. */
export function onlyOutput({ outputs, axisNames }: DynamicGraph, name: string): DynamicGraph {
  const output = outputs[name];
  return { outputs: output ? { [name]: output } : {}, axisNames };
}

function batchOf(name: string): DynamicAxis {
  return { name: "batch", probes: [2, 3, 5], input: name, axis: 0 };
}
