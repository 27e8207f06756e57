import { ShapeError } from "../../core/errors.ts";

/** λ and the validation score that its fit reached, higher = better. */
export interface SweepPoint {
  readonly lambda: number;
  readonly score: number;
}

export interface SweepResult extends SweepPoint {
  /** Every λ that was tried, smallest first. */
  readonly tried: readonly SweepPoint[];
}

const decades = 12; // 1e-6 … 1e6
const stepsPerDecade = 8;
const gridSize = decades * stepsPerDecade + 1;
const firstSpan = 2 * stepsPerDecade;

/** The λ of a place on the grid of 96 steps, 8 a decade, from 1e-6 to 1e6. */
export function lambdaAt(place: number): number {
  return 10 ** (place / stepsPerDecade - decades / 2);
}

function placeOf(lambda: number): number {
  return Math.round((Math.log10(lambda) + decades / 2) * stepsPerDecade);
}

/**
 * CLIP's search for λ (Radford et al., arXiv:2103.00020, appendix A.3): 1e-6, 1e-4, …, 1e6 first, then both neighbours
 * of the best at half the distance, halved until 8 steps a decade. Of equal scores the larger λ is kept: the smaller
 * weights cost nothing.
 *
 * @param score  fits with λ and scores on validation examples; called once for each λ, from large to small in a round
 * @param known  points of an earlier, interrupted sweep, which are not tried again
 */
export async function sweepLambda(
  score: (lambda: number) => Promise<number>,
  known: readonly SweepPoint[] = [],
): Promise<SweepResult> {
  const scores = new Map<number, number>();
  const knownScores = new Map(known.map((point) => [placeOf(point.lambda), point.score]));
  const visit = async (places: readonly number[]): Promise<void> => {
    for (const place of places) {
      if (place < 0 || place >= gridSize || scores.has(place)) continue;
      const value = knownScores.get(place) ?? (await score(lambdaAt(place)));
      if (Number.isNaN(value)) throw new ShapeError(`Lambda sweep: a score must be a number, got NaN.`);
      scores.set(place, value);
    }
  };
  await visit(Array.from({ length: decades / 2 + 1 }, (_, i) => (decades / 2 - i) * firstSpan));
  for (let span = firstSpan / 2; span >= 1; span /= 2) {
    const best = bestPlace(scores);
    await visit([best + span, best - span]);
  }
  const best = bestPlace(scores);
  const tried = [...scores]
    .sort(([a], [b]) => a - b)
    .map(([place, value]) => ({ lambda: lambdaAt(place), score: value }));
  return { lambda: lambdaAt(best), score: scores.get(best) as number, tried };
}

function bestPlace(scores: ReadonlyMap<number, number>): number {
  return [...scores].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] > a[0]) ? b : a))[0];
}
