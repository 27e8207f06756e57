import type { FeatureRows } from "../logistic-objective.ts";
import type { LinearClassifier } from "../logistic-regression.ts";

/**
 * The nearest class mean by Euclidean distance (prototypical networks, Snell et al., arXiv:1703.05175 §2.3) as a linear
 * classifier: −‖x − c‖² = 2 c·x − ‖c‖² − ‖x‖², whose last term all classes share.
 *
 * @param labels  [N], each in [0, classes); a class without an example gets bias −∞, so it is never the answer
 */
export function prototypeClassifier(
  { features, dim }: FeatureRows,
  labels: ArrayLike<number>,
  classes: number,
): LinearClassifier {
  const sums = new Float64Array(classes * dim);
  const counts = new Float64Array(classes);
  for (let row = 0; row < labels.length; row++) {
    counts[labels[row]]++;
    for (let d = 0; d < dim; d++) sums[labels[row] * dim + d] += features[row * dim + d];
  }
  const weights = new Float32Array(classes * dim);
  const bias = new Float32Array(classes);
  for (let k = 0; k < classes; k++) {
    let squared = 0;
    for (let d = 0; d < dim && counts[k] > 0; d++) {
      const centre = sums[k * dim + d] / counts[k];
      weights[k * dim + d] = 2 * centre;
      squared += centre * centre;
    }
    bias[k] = counts[k] > 0 ? -squared : Number.NEGATIVE_INFINITY;
  }
  return { kind: "one", classes, dim, weights, bias };
}
