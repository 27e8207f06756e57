import { ShapeError } from "../../core/errors.ts";
import { minimizeLbfgs } from "../lbfgs.ts";

/** How logits are set right: multiplied by `scale`, then `bias` is added. */
export interface LogitCorrection {
  readonly scale: number; // 1 / temperature, positive
  readonly bias: readonly number[]; // [classes]; zeros where none was fitted
}

export interface TemperatureOptions {
  /** Fits a bias for every class, too: for classes that a model favours. */
  readonly withBias?: boolean;
  readonly signal?: AbortSignal;
}

/** Standard deviation of ln(scale) before any example is seen: a handful of right answers must not ask for infinity. */
const logScaleSpread = Math.log(10);
/** Likewise of a class's bias, in nats. */
const biasSpread = 1;

/**
 * Temperature scaling (Guo et al., arXiv:1706.04599 §4.2): the scale that makes the true classes most likely under
 * softmax(scale · logits + bias). Differs: a weak normal prior on ln(scale) and on the biases, worth less than one
 * example, keeps the answer finite when every example is right.
 *
 * @param logits  row-major [N, classes]
 * @param labels  [N], each in [0, classes)
 */
export async function fitTemperature(
  logits: ArrayLike<number>,
  labels: ArrayLike<number>,
  classes: number,
  { withBias = false, signal }: TemperatureOptions = {},
): Promise<LogitCorrection> {
  const count = labels.length;
  if (count === 0 || logits.length !== count * classes) {
    throw new ShapeError(`Temperature: logits must be [N, ${classes}] for ${count} > 0 labels, got ${logits.length}.`);
  }
  const free = withBias ? classes : 0;
  const evaluate = async (parameters: Float64Array) => {
    const scale = Math.exp(parameters[0]);
    const gradient = new Float64Array(1 + free);
    let total = 0;
    for (let row = 0; row < count; row++) {
      const at = (k: number) => logits[row * classes + k];
      const corrected = Float64Array.from(
        { length: classes },
        (_, k) => scale * at(k) + (free ? parameters[1 + k] : 0),
      );
      const probabilities = softmax(corrected);
      total -= Math.log(Math.max(probabilities[labels[row]], Number.MIN_VALUE));
      for (let k = 0; k < classes; k++) {
        const residual = probabilities[k] - (k === labels[row] ? 1 : 0);
        gradient[0] += residual * scale * at(k);
        if (free) gradient[1 + k] += residual;
      }
    }
    for (const [i, parameter] of parameters.entries()) {
      const spread = i === 0 ? logScaleSpread : biasSpread;
      total += (parameter / spread) ** 2 / 2;
      gradient[i] += parameter / spread ** 2;
    }
    return { value: total / count, gradient: gradient.map((value) => value / count) };
  };
  const { position } = await minimizeLbfgs(evaluate, new Float64Array(1 + free), {
    tolerance: 1e-7,
    ...(signal ? { signal } : {}),
  });
  return {
    scale: Math.exp(position[0]),
    bias: Array.from({ length: classes }, (_, k) => (free ? position[1 + k] : 0)),
  };
}

/** Probabilities of one row of logits after the correction; they sum to 1. */
export function correctedProbabilities(logits: ArrayLike<number>, { scale, bias }: LogitCorrection): Float64Array {
  return softmax(Float64Array.from(bias, (offset, k) => scale * logits[k] + offset));
}

function softmax(logits: Float64Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}
