import { mul, reshape } from "../../graph/broadcasting.ts";
import { type DynamicAxis, type DynamicGraph, withDynamicAxes } from "../../graph/dynamic-axes.ts";
import { sigmoid } from "../../graph/elementwise.ts";
import { input, type Tensor } from "../../graph/tensor.ts";
import { type AnchorGrid, decodeBoxes } from "./anchors.ts";
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
export function detectorGraph(detector: Detector, size: PictureSize): DynamicGraph {
  return openGraph(detector, size, (pixels, texts) => {
    const { outputs, grid } = detector.forward(pixels, texts, { wholeBatch: true });
    const { logits, deltas, centerness } = outputs;
    const centre = reshape(sigmoid(centerness), [...centerness.shape, 1]);
    return { boxes: decodeBoxes(deltas, grid), scores: mul(sigmoid(logits), centre) };
  });
}

/**
 * As {@link detectorGraph}, but with the head's own outputs `logits`, `deltas` and `centerness`, for `decodeDetections`:
 * only boxes that are likely enough need to be worked out. `level` [batch, H·W, C] is the image encoder's last, for
 * whoever names boxes by it.
 */
export function detectorOutputsGraph(detector: Detector, size: PictureSize): DynamicGraph {
  return openGraph(detector, size, (pixels, texts) => {
    const { outputs, lastLevel } = detector.forward(pixels, texts, { wholeBatch: true });
    return { ...outputs, level: lastLevel.inOrder().tokens };
  });
}

/** The anchors of a detector on pictures of this size. */
export function detectorGrid(detector: Detector, { height, width }: PictureSize): AnchorGrid {
  const { classes } = detector.config;
  const texts = classes.kind === "text" ? input("texts", [1, classes.embedding]) : undefined;
  return detector.forward(input("pixels", [1, height, width, 3], "uint8"), texts).grid;
}

interface PictureSize {
  readonly height: number; // pixels
  readonly width: number;
}

type Outputs = Record<string, Tensor>;

function openGraph(
  detector: Detector,
  { height, width }: PictureSize,
  outputs: (pixels: Tensor, texts: Tensor | undefined) => Outputs,
): DynamicGraph {
  const { classes } = detector.config;
  const batchAxis: DynamicAxis = { name: "batch", probes, input: "pixels", axis: 0 };
  const labelAxis: DynamicAxis = { name: "labels", probes, input: "texts", axis: 0 };
  const axes = classes.kind === "text" ? [batchAxis, labelAxis] : [batchAxis];
  return withDynamicAxes(axes, ({ batch = 1, labels = 1 }) => {
    const pixels = input("pixels", [batch, height, width, 3], "uint8");
    const texts = classes.kind === "text" ? input("texts", [labels, classes.embedding]) : undefined;
    return outputs(pixels, texts);
  });
}
