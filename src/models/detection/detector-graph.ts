import { mul, reshape } from "../../graph/broadcasting.ts";
import { type DynamicAxis, type DynamicGraph, withDynamicAxes } from "../../graph/dynamic-axes.ts";
import { sigmoid } from "../../graph/elementwise.ts";
import { input, type Tensor } from "../../graph/tensor.ts";
import { decodeBoxes } from "./anchors.ts";
import type { Detector } from "./detector.ts";

/** Lengths to derive an open axis from. */
const probes = [2, 3, 5] as const;

/**
 * A detector's whole way from pixels to scored boxes as one graph with an open batch, for export and inference; the
 * labels are open too where the classes are texts, so that a file takes other labels without being made again.
 *
 * Inputs: `pixels` uint8 [batch, height, width, 3]; `texts` float32 [labels, D], rows of length 1.
 * Outputs: `boxes` [batch, A, 4] xyxy, pixels, not clipped; `scores` [batch, A, labels] in (0, 1), class times
 * centerness. Suppression is left to the caller.
 */
export function detectorGraph(detector: Detector, { height, width }: { height: number; width: number }): DynamicGraph {
  const { classes } = detector.config;
  const batchAxis: DynamicAxis = { name: "batch", probes, input: "pixels", axis: 0 };
  const labelAxis: DynamicAxis = { name: "labels", probes, input: "texts", axis: 0 };
  const axes = classes.kind === "text" ? [batchAxis, labelAxis] : [batchAxis];
  return withDynamicAxes(axes, ({ batch = 1, labels = 1 }) => {
    const pixels = input("pixels", [batch, height, width, 3], "uint8");
    const texts = classes.kind === "text" ? input("texts", [labels, classes.embedding]) : undefined;
    return scoredBoxes(detector, pixels, texts);
  });
}

function scoredBoxes(detector: Detector, pixels: Tensor, texts: Tensor | undefined): Record<string, Tensor> {
  const { logits, deltas, centerness, grid } = detector.forward(pixels, texts, { wholeBatch: true });
  const centre = reshape(sigmoid(centerness), [...centerness.shape, 1]);
  return { boxes: decodeBoxes(deltas, grid), scores: mul(sigmoid(logits), centre) };
}
