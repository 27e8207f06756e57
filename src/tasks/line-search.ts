/** A point on a ray: the step along it, and what the function does there. */
export interface RayPoint {
  readonly step: number;
  readonly value: number;
  readonly slope: number; // directional derivative
}

export interface WolfeConditions {
  readonly decrease: number; // c₁ of the sufficient decrease
  readonly curvature: number; // c₂ of the strong curvature condition
  readonly maxTrials: number;
  /** Relative error of the function's values: below it, slopes decide instead of values. */
  readonly noise: number;
}

/**
 * Finds a step that satisfies the strong Wolfe conditions: bracketing, then zooming in by safeguarded cubic
 * interpolation (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 3.5 and 3.6).
 * Differs: where values change by less than their own rounding error, the decrease is judged by the slope, as Hager and
 * Zhang do (doi:10.1137/030601880, §2), since a float32 loss cannot tell such steps apart.
 *
 * @param start      the point at step 0; its slope is negative
 * @param firstStep  tried first
 * @param evaluate   the point at a step
 * @returns          undefined if no step within the trials will do
 */
export async function searchStep<Point extends RayPoint>(
  start: RayPoint,
  firstStep: number,
  evaluate: (step: number) => Promise<Point>,
  conditions: WolfeConditions,
): Promise<Point | undefined> {
  const { decrease, curvature, maxTrials, noise } = conditions;
  const slack = noise * Math.abs(start.value);
  const isLower = ({ step, value, slope }: RayPoint): boolean =>
    value <= start.value + decrease * step * start.slope ||
    (value <= start.value + slack && slope <= (2 * decrease - 1) * start.slope);
  const isFlat = ({ slope }: RayPoint): boolean => Math.abs(slope) <= -curvature * start.slope;

  let low: RayPoint = start;
  let high: RayPoint | undefined;
  let best: Point | undefined; // the lowest that decreases enough, should the trials run out
  let step = firstStep;
  for (let trial = 0; trial < maxTrials; trial++) {
    const point = await evaluate(step);
    const isBetter = isLower(point) && point.value <= low.value + slack;
    if (isBetter && isFlat(point)) return point;
    if (isBetter && (!best || point.value < best.value)) best = point;
    if (!isBetter)
      high = point; // also a value that is not a number
    else if (high ? point.slope * (high.step - low.step) >= 0 : point.slope >= 0) {
      high = low;
      low = point;
    } else low = point;
    // A slope that has lost less than a tenth of its size puts a parabola's minimum at ten such steps or more.
    step = high ? interpolate(low, high) : step * 10;
    if (high && Math.abs(high.step - low.step) <= 1e-12 * Math.max(high.step, low.step)) break;
  }
  return best;
}

/** The minimum of the cubic through both ends, kept a tenth of the bracket away from them; else the middle. */
function interpolate(low: RayPoint, high: RayPoint): number {
  const width = high.step - low.step;
  const middle = low.step + width / 2;
  if (!Number.isFinite(high.value) || !Number.isFinite(high.slope)) return low.step + width / 10;
  const secant = low.slope + high.slope - (3 * (low.value - high.value)) / (low.step - high.step);
  const discriminant = secant * secant - low.slope * high.slope;
  if (!(discriminant >= 0)) return middle;
  const root = Math.sign(width) * Math.sqrt(discriminant);
  const cubic = high.step - (width * (high.slope + root - secant)) / (high.slope - low.slope + 2 * root);
  if (!Number.isFinite(cubic)) return middle;
  const [near, far] = [low.step + width / 10, high.step - width / 10];
  return Math.min(Math.max(cubic, Math.min(near, far)), Math.max(near, far));
}
