import type { Scoring } from "../core/scoring.ts";
import { ranksOfLabels } from "../metrics/accuracy.ts";
import type { LogitBlock } from "./class-logits.ts";

/** What a classifier said of each image, single-label. */
export interface Judgement {
  readonly classes: number;
  readonly labels: Int32Array; // [N]
  readonly ranks: Int32Array; // [N], of the true class, 0 = best; ties count against the model
  readonly predicted: Int32Array; // [N]; in a tie, a class other than the true one
  readonly confidence: Float32Array; // [N], probability of the predicted class
  readonly truthProbability: Float32Array; // [N]
}

/** Judges logits block by block: memory grows with the images, not with images × classes. */
export async function judge(
  blocks: AsyncIterable<LogitBlock>,
  labels: Int32Array,
  classes: number,
  scoring: Scoring = { kind: "softmax" },
): Promise<Judgement> {
  const count = labels.length;
  const judgement: Judgement = {
    classes,
    labels,
    ranks: new Int32Array(count),
    predicted: new Int32Array(count),
    confidence: new Float32Array(count),
    truthProbability: new Float32Array(count),
  };
  for await (const { start, logits } of blocks) {
    const own = labels.subarray(start, start + logits.length / classes);
    judgement.ranks.set(ranksOfLabels(logits, own, classes), start);
    own.forEach((label, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      const predicted = pessimisticBest(row, label);
      const probability = probabilityIn(row, scoring);
      judgement.predicted[start + i] = predicted;
      judgement.confidence[start + i] = probability(predicted);
      judgement.truthProbability[start + i] = probability(label);
    });
  }
  return judgement;
}

/** The class of the highest logit; of several, one that is not the true class. NaN counts as the worse case. */
function pessimisticBest(row: Float32Array, label: number): number {
  let best = label;
  for (let c = 0; c < row.length; c++) {
    if (c === label) continue;
    const isBetter = best === label ? !(row[c] < row[best]) : row[c] > row[best];
    if (isBetter) best = c;
  }
  return best;
}

function probabilityIn(row: Float32Array, scoring: Scoring): (label: number) => number {
  if (scoring.kind === "sigmoid") return (label) => 1 / (1 + Math.exp(-(row[label] + scoring.bias)));
  const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const logit of row) sum += Math.exp(logit - largest);
  return (label) => Math.exp(row[label] - largest) / sum;
}
