import { ShapeError } from "../core/errors.ts";
import { type LbfgsResult, minimizeLbfgs, type StopReason } from "./lbfgs.ts";
import { columnsOf, type FeatureRows, LogisticObjective, type Targets } from "./logistic-objective.ts";

/** A linear map from features to a score for every class; with one class an example, scores are softmax logits. */
export interface LinearClassifier {
  readonly kind: Targets["kind"];
  readonly classes: number;
  readonly dim: number;
  readonly weights: Float32Array; // [classes, dim]
  readonly bias: Float32Array; // [classes]
}

export interface LogisticFit {
  readonly classifier: LinearClassifier;
  readonly lambda: number;
  readonly loss: number; // (Σ loss + λ/2 ‖W‖²) / N at the end
  readonly largestGradient: number;
  readonly iterations: number;
  readonly evaluations: number;
  readonly stopped: StopReason;
  /** Where the minimiser ended: a start for a neighbouring λ. */
  readonly parameters: Float64Array;
}

export interface LogisticOptions {
  /** L2 strength, 1/C in scikit-learn's words. */
  readonly lambda: number;
  readonly maxIterations?: number; // 1000 by default, CLIP's limit
  readonly tolerance?: number; // on the largest component of the gradient; 1e-4 by default, scikit-learn's
  readonly start?: Float64Array; // zeros by default
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { iteration: number; loss: number; largestGradient: number }) => void;
}

/**
 * Fits L2-regularised logistic regression by L-BFGS: scikit-learn's `LogisticRegression(C=1/lambda, max_iter=1000)`,
 * which is CLIP's linear probe (Radford et al., arXiv:2103.00020, appendix A.3). Several labels an example are fitted
 * one against the rest, all classes in one minimisation, whose largest gradient bounds that of each.
 *
 * @throws the signal's reason when aborted
 */
export async function fitLogisticRegression(
  rows: FeatureRows,
  targets: Targets,
  { threads, ...options }: LogisticOptions & { threads?: number },
): Promise<LogisticFit> {
  const objective = await LogisticObjective.create(rows, targets, threads ? { threads } : {});
  try {
    return await fitObjective(objective, targets, options);
  } finally {
    await objective.dispose();
  }
}

/** As `fitLogisticRegression`, on an objective that is there already: for many λ on the same examples. */
export async function fitObjective(
  objective: LogisticObjective,
  targets: Targets,
  { lambda, start, onProgress, ...options }: LogisticOptions,
): Promise<LogisticFit> {
  if (!(lambda >= 0 && Number.isFinite(lambda))) {
    throw new ShapeError(`Logistic regression: lambda must be finite and ≥ 0, got ${lambda}.`);
  }
  const result = await minimizeLbfgs(
    (parameters) => objective.evaluate(parameters, lambda),
    start ?? new Float64Array(objective.parameterCount),
    {
      ...options,
      noise: 1e-7, // of float32 losses
      onIteration: (iteration, loss, largestGradient) => onProgress?.({ iteration, loss, largestGradient }),
    },
  );
  return describeFit(result, lambda, objective.dim, targets);
}

function describeFit(result: LbfgsResult, lambda: number, dim: number, targets: Targets): LogisticFit {
  const { position, value, largestGradient, iterations, evaluations, stopped } = result;
  const columns = columnsOf(targets);
  const weights = new Float32Array(targets.classes * dim);
  const bias = new Float32Array(targets.classes);
  // One column for two classes is half its score against the first and half for the second.
  const isPair = columns < targets.classes;
  for (let k = 0; k < targets.classes; k++) {
    const factor = isPair ? k - 0.5 : 1;
    const column = isPair ? 0 : k;
    for (let d = 0; d < dim; d++) weights[k * dim + d] = factor * position[d * columns + column];
    bias[k] = factor * position[dim * columns + column];
  }
  const classifier: LinearClassifier = { kind: targets.kind, classes: targets.classes, dim, weights, bias };
  return { classifier, lambda, loss: value, largestGradient, iterations, evaluations, stopped, parameters: position };
}
