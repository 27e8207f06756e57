import { UserError } from "../core/errors.ts";

/** How the learning rate runs over a training, as written in a recipe. Steps count updates; the first is step 0. */
export type Schedule =
  | { readonly kind: "constant"; readonly rate: number; readonly warmupSteps?: number }
  | {
      readonly kind: "cosine"; // linear warm-up, then half a cosine down to the floor (arXiv:1608.03983)
      readonly rate: number;
      readonly floor?: number;
      readonly warmupSteps?: number;
      readonly totalSteps: number;
    }
  | {
      readonly kind: "stable-decay"; // warm-up, constant, then linear down to the floor over the last `decaySteps`
      readonly rate: number;
      readonly floor?: number;
      readonly warmupSteps?: number;
      readonly decaySteps: number;
      readonly totalSteps: number;
    };

/**
 * The learning rate of update `step`. The warm-up reaches the full rate at its last step, never starting at 0; from
 * `totalSteps` on, the rate stays at the floor. A pure function, so that a resumed run needs no schedule state.
 */
export function learningRateAt(schedule: Schedule, step: number): number {
  const { rate, warmupSteps = 0 } = schedule;
  if (step < warmupSteps) return (rate * (step + 1)) / warmupSteps;
  if (schedule.kind === "constant") return rate;
  const { floor = 0, totalSteps } = schedule;
  if (step >= totalSteps) return floor;
  if (schedule.kind === "cosine") {
    const progress = (step - warmupSteps) / (totalSteps - warmupSteps);
    return floor + (rate - floor) * 0.5 * (1 + Math.cos(Math.PI * progress));
  }
  const left = (totalSteps - step) / schedule.decaySteps;
  return left >= 1 ? rate : floor + (rate - floor) * left;
}

/** Rejects a schedule whose numbers cannot be meant, with a `bad-argument` error. */
export function checkSchedule(schedule: Schedule): void {
  const { rate, warmupSteps = 0 } = schedule;
  const demand = (condition: boolean, rule: string, value: number) => {
    if (!condition) throw new UserError("bad-argument", `Schedule: ${rule}, got ${value}.`);
  };
  demand(rate > 0 && Number.isFinite(rate), "rate must be a positive number", rate);
  demand(warmupSteps >= 0, "warmupSteps must not be negative", warmupSteps);
  if (schedule.kind === "constant") return;
  const { floor = 0, totalSteps } = schedule;
  demand(floor >= 0 && floor <= rate, `floor must lie between 0 and the rate ${rate}`, floor);
  const decaySteps = schedule.kind === "stable-decay" ? schedule.decaySteps : 1;
  demand(decaySteps >= 1, "decaySteps must be at least 1", decaySteps);
  demand(totalSteps >= warmupSteps + decaySteps, "totalSteps must hold the warm-up and the decay", totalSteps);
}
