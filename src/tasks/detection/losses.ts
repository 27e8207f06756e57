import { ShapeError } from "../../core/errors.ts";
import { add, mul, reshape, sum } from "../../graph/broadcasting.ts";
import {
  cast,
  div,
  equal,
  lessThan,
  maximum,
  minimum,
  sigmoid,
  softplus,
  square,
  sub,
} from "../../graph/elementwise.ts";
import { constant, formatShape, input, type Tensor } from "../../graph/tensor.ts";
import { type AnchorGrid, boxEdges, decodeBoxes } from "../../models/detection/anchors.ts";
import type { DetectionOutputs } from "../../models/detection/atss-head.ts";

/** `AnchorTargets` of a batch as graph inputs. */
export interface TargetTensors {
  readonly classes: Tensor; // [B, A] int32, −1 for background, −2 where nothing is to be learnt
  readonly boxesXyxy: Tensor; // [B, A, 4], pixels
  readonly centerness: Tensor; // [B, A]; 0 where there is no object
  readonly positives: Tensor; // [], anchors of the whole batch that have an object
  readonly centernessSum: Tensor; // [], over the whole batch
}

export interface DetectionLosses {
  readonly total: Tensor; // [], classification + 2 · boxes + centerness
  readonly classification: Tensor;
  readonly boxes: Tensor;
  readonly centerness: Tensor;
}

const boxWeight = 2;

/**
 * The inputs that `detectionLosses` reads, named `targets/…`, for so many pictures: a whole batch or a part of one, whose
 * losses then add up.
 */
export function targetInputs(batch: number, anchors: number): TargetTensors {
  return {
    classes: input("targets/classes", [batch, anchors], "int32"),
    boxesXyxy: input("targets/boxes", [batch, anchors, 4]),
    centerness: input("targets/centerness", [batch, anchors]),
    positives: input("targets/positives", []),
    centernessSum: input("targets/centernessSum", []),
  };
}

/**
 * The losses of ATSS: focal loss of the classes over the number of positives, GIoU of positives weighted by centerness
 * over its sum, cross-entropy of centerness over positives. Zhang et al., arXiv:1912.02424. Normalised over the batch; a
 * batch without objects divides by 1.
 */
export function detectionLosses(outputs: DetectionOutputs, targets: TargetTensors, grid: AnchorGrid): DetectionLosses {
  const [batch, anchors, classCount] = outputs.logits.shape;
  if (anchors !== grid.count || formatShape(targets.classes) !== formatShape([batch, anchors])) {
    throw new ShapeError(
      `detectionLosses: logits and targets must be of ${grid.count} anchors, got ${formatShape(outputs.logits)} and ${formatShape(targets.classes)}`,
    );
  }
  const classIds = cast(targets.classes, "float32");
  const isPositive = cast(lessThan(-0.5, classIds), "float32"); // [B, A]
  const isKnown = cast(lessThan(-1.5, classIds), "float32");
  const positives = maximum(targets.positives, 1);
  const ids = constant(
    Int32Array.from({ length: classCount }, (_, i) => i),
    [1, 1, classCount],
  );
  const hits = cast(equal(reshape(targets.classes, [batch, anchors, 1]), ids), "float32");
  const focal = mul(focalLoss(outputs.logits, hits), reshape(isKnown, [batch, anchors, 1]));
  const classification = div(sum(focal), positives);

  const weights = targets.centerness;
  const giou = generalizedIou(decodeBoxes(outputs.deltas, grid), targets.boxesXyxy);
  const boxes = div(sum(mul(sub(1, giou), weights)), maximum(targets.centernessSum, 1e-6));
  const crossEntropy = sub(softplus(outputs.centerness), mul(outputs.centerness, weights));
  const centerness = div(sum(mul(crossEntropy, isPositive)), positives);
  const total = add(add(classification, mul(boxes, boxWeight)), centerness);
  return { total, classification, boxes, centerness };
}

/**
 * Sigmoid cross-entropy that counts what is already right for less: α·(1 − p)^γ, γ = 2. Lin et al., arXiv:1708.02002.
 *
 * @param hits  1 or 0, as `logits`
 * @returns     as `logits`
 */
export function focalLoss(logits: Tensor, hits: Tensor, alpha = 0.25): Tensor {
  // With u = −logit for hits and logit otherwise, 1 − p is σ(u) and the cross-entropy is softplus(u).
  const u = mul(logits, add(mul(hits, -2), 1));
  const balance = add(mul(hits, 2 * alpha - 1), 1 - alpha);
  return mul(balance, mul(square(sigmoid(u)), softplus(u)));
}

/** Keeps quotients finite, as torchvision does. */
const smallestArea = 1e-7;

/**
 * Generalised IoU of boxes in pairs. Rezatofighi et al., arXiv:1902.09630.
 *
 * @param a  [B, A, 4] xyxy
 * @param b  [B, A, 4] likewise
 * @returns  [B, A] in (−1, 1]
 */
export function generalizedIou(a: Tensor, b: Tensor): Tensor {
  const [ax0, ay0, ax1, ay1] = boxEdges(a);
  const [bx0, by0, bx1, by1] = boxEdges(b);
  const across = maximum(sub(minimum(ax1, bx1), maximum(ax0, bx0)), 0);
  const down = maximum(sub(minimum(ay1, by1), maximum(ay0, by0)), 0);
  const shared = mul(across, down);
  const areaA = mul(sub(ax1, ax0), sub(ay1, ay0));
  const areaB = mul(sub(bx1, bx0), sub(by1, by0));
  const union = sub(add(areaA, areaB), shared);
  const around = mul(sub(maximum(ax1, bx1), minimum(ax0, bx0)), sub(maximum(ay1, by1), minimum(ay0, by0)));
  const iou = div(shared, add(union, smallestArea));
  return sub(iou, div(sub(around, union), add(around, smallestArea)));
}
