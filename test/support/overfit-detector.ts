import type { Rng } from "../../src/core/rng.ts";
import type { Detector } from "../../src/models/detection/detector.ts";
import { initialWeights, type Weights } from "../../src/nn/module.ts";
import type { ObjectAnnotations } from "../../src/tasks/detection/assignment.ts";
import { DetectionObjective } from "../../src/tasks/detection/detection-objective.ts";
import { AdamW } from "../../src/training/adamw.ts";

/** Side of the pictures, pixels. */
export const overfitSize = 64;

export const overfitColours = [
  [220, 40, 40],
  [40, 200, 60],
  [50, 80, 230],
] as const;

const steps = 80;

export interface ColouredPicture {
  readonly pixels: Uint8Array; // [64, 64, 3]
  readonly objects: ObjectAnnotations;
}

/** Grey noise with two or three filled rectangles, the class being the colour. */
export function colouredPicture(rng: Rng): ColouredPicture {
  const pixels = Uint8Array.from({ length: overfitSize * overfitSize * 3 }, () => 110 + rng.int(40));
  const boxes: number[] = [];
  const classes: number[] = [];
  const corners = [
    [2, 2],
    [34, 4],
    [6, 34],
  ] as const;
  for (const [left, top] of corners.slice(0, 2 + rng.int(2))) {
    const [x0, y0] = [left + rng.int(6), top + rng.int(6)];
    const [x1, y1] = [x0 + 12 + rng.int(12), y0 + 12 + rng.int(12)];
    const colour = rng.int(overfitColours.length);
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) pixels.set(overfitColours[colour] as readonly number[], 3 * (y * overfitSize + x));
    }
    boxes.push(x0, y0, x1, y1);
    classes.push(colour);
  }
  return { pixels, objects: { boxesXyxy: Float32Array.from(boxes), classes: Int32Array.from(classes) } };
}

/**
 * Learns pictures by heart, the same ones at every step.
 *
 * @param texts  [K, D], of length 1, for a detector whose classes are texts
 */
export async function overfitDetector(
  detector: Detector,
  pictures: readonly ColouredPicture[],
  texts?: Float32Array,
): Promise<{ weights: Weights; losses: number[] }> {
  const start = initialWeights(detector, 1);
  const weights = new Map(
    [...detector.learnable].map(([name, { shape }]) => [name, { shape, data: start.get(name) as Float32Array }]),
  );
  const batch = {
    pixels: Uint8Array.from(pictures.flatMap(({ pixels }) => [...pixels])),
    height: overfitSize,
    width: overfitSize,
    objects: pictures.map(({ objects }) => objects),
    ...(texts ? { texts } : {}),
  };
  const objective = new DetectionObjective({
    ...{ detector, weights, batch: pictures.length, threads: 1 },
    batchAt: () => batch,
  });
  const optimizer = new AdamW(weights, { weightDecay: 0.01, clipNorm: 5 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { loss, gradients } = await objective.step(step);
    losses.push(loss);
    optimizer.step(gradients, 4e-3 * Math.min(1, (step + 1) / 10, (steps - step) / 30));
  }
  await objective.dispose();
  return { weights: new Map([...start, ...[...weights].map(([name, { data }]) => [name, data] as const)]), losses };
}
