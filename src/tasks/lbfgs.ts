import { ShapeError } from "../core/errors.ts";
import { type RayPoint, searchStep } from "./line-search.ts";

/** A function's value and gradient at one place. */
export interface Evaluation {
  readonly value: number;
  readonly gradient: Float64Array;
}

export interface LbfgsOptions {
  readonly maxIterations?: number;
  /** Done when no component of the gradient is larger. */
  readonly tolerance?: number;
  /** Relative error of the function's values: 6e-8 where they are summed up from float32. */
  readonly noise?: number;
  /** Pairs of steps and gradient changes that are remembered. */
  readonly memory?: number;
  readonly signal?: AbortSignal;
  readonly onIteration?: (iteration: number, value: number, largestGradient: number) => void;
}

/** Why the minimiser stopped: at the tolerance, at the most iterations, or where rounding hides any further descent. */
export type StopReason = "converged" | "iterations" | "precision";

export interface LbfgsResult extends Evaluation {
  readonly position: Float64Array;
  readonly largestGradient: number;
  readonly iterations: number;
  readonly evaluations: number;
  readonly stopped: StopReason;
}

interface Place extends Evaluation, RayPoint {
  readonly position: Float64Array;
}

interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array; // of the gradient
  readonly curvature: number; // their product, positive
}

/**
 * Minimises a smooth function by limited-memory BFGS with a strong Wolfe line search (Nocedal 1980,
 * doi:10.2307/2006193; Liu and Nocedal 1989, doi:10.1007/BF01589116). The default options are those of scikit-learn's
 * `LogisticRegression`.
 *
 * @param evaluate  must leave its argument as it is, and return a gradient of its own each time
 * @param start     [n]
 * @throws          the signal's reason when aborted
 */
export async function minimizeLbfgs(
  evaluate: (position: Float64Array) => Promise<Evaluation>,
  start: Float64Array,
  options: LbfgsOptions = {},
): Promise<LbfgsResult> {
  const { maxIterations = 1000, tolerance = 1e-4, noise = 1e-15, memory = 10, signal, onIteration } = options;
  const pairs: Pair[] = [];
  let evaluations = 0;
  const visit = async (position: Float64Array, step: number, direction?: Float64Array): Promise<Place> => {
    signal?.throwIfAborted();
    evaluations++;
    const { value, gradient } = await evaluate(position);
    if (gradient.length !== position.length) {
      throw new ShapeError(`L-BFGS: the gradient must have ${position.length} numbers, got ${gradient.length}.`);
    }
    return { position, value, gradient, step, slope: direction ? dot(gradient, direction) : 0 };
  };

  let place = await visit(Float64Array.from(start), 0);
  const finish = (iterations: number, stopped: StopReason): LbfgsResult => {
    const { position, value, gradient } = place;
    return { position, value, gradient, largestGradient: largest(gradient), iterations, evaluations, stopped };
  };

  for (let iteration = 0; ; iteration++) {
    const size = largest(place.gradient);
    if (iteration > 0) onIteration?.(iteration, place.value, size);
    if (size <= tolerance) return finish(iteration, "converged");
    if (iteration === maxIterations) return finish(iteration, "iterations");
    let direction = descend(place.gradient, pairs);
    let slope = dot(place.gradient, direction);
    if (!(slope < 0)) {
      pairs.length = 0; // rounding has spoilt the memory
      direction = descend(place.gradient, pairs);
      slope = dot(place.gradient, direction);
    }
    // Without memory the direction has the gradient's length, which says nothing about the distance: go one unit.
    const firstStep = pairs.length > 0 ? 1 : Math.min(1, 1 / Math.sqrt(-slope));
    const before: Place = { ...place, step: 0, slope };
    const next = await searchStep(
      before,
      firstStep,
      (step) => visit(moved(before.position, direction, step), step, direction),
      { decrease: 1e-4, curvature: 0.9, maxTrials: 30, noise },
    );
    if (!next) {
      if (pairs.length === 0) return finish(iteration, "precision");
      pairs.length = 0; // once more, straight down
      continue;
    }
    remember(pairs, before, next, memory);
    place = next;
  }
}

/** −H·gradient by the two-loop recursion; −gradient without memory. */
function descend(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const direction = gradient.map((component) => -component);
  const shares = new Float64Array(pairs.length);
  for (let i = pairs.length - 1; i >= 0; i--) {
    const { step, change, curvature } = pairs[i];
    shares[i] = dot(step, direction) / curvature;
    addScaled(direction, change, -shares[i]);
  }
  const last = pairs.at(-1);
  if (last) scale(direction, last.curvature / dot(last.change, last.change));
  for (const [i, { step, change, curvature }] of pairs.entries()) {
    addScaled(direction, step, shares[i] - dot(change, direction) / curvature);
  }
  return direction;
}

function remember(pairs: Pair[], from: Place, to: Place, memory: number): void {
  const step = difference(to.position, from.position);
  const change = difference(to.gradient, from.gradient);
  const curvature = dot(step, change);
  // The curvature condition makes this positive; where it is lost in rounding the pair would spoil the memory.
  if (!(curvature > Number.EPSILON * dot(change, change))) return;
  pairs.push({ step, change, curvature });
  if (pairs.length > memory) pairs.shift();
}

function moved(from: Float64Array, direction: Float64Array, step: number): Float64Array {
  const position = from.slice();
  addScaled(position, direction, step);
  return position;
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  const result = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = a[i] - b[i];
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function addScaled(target: Float64Array, source: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] += factor * source[i];
}

function scale(target: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] *= factor;
}

function largest(values: Float64Array): number {
  let size = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]);
    if (!(magnitude <= size)) size = magnitude; // NaN stays
  }
  return size;
}
