import { describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { checkSchedule, learningRateAt, type Schedule } from "./schedule.ts";

const rates = (schedule: Schedule, steps: number[]) => steps.map((step) => learningRateAt(schedule, step));

describe("learningRateAt", () => {
  it("warms up linearly, then follows half a cosine to the floor and stays there", () => {
    const schedule: Schedule = { kind: "cosine", rate: 1, floor: 0.2, warmupSteps: 4, totalSteps: 12 };
    const actual = rates(schedule, [0, 1, 3, 4, 6, 8, 10, 12, 1000]);
    const quarter = 0.4 * Math.SQRT1_2; // cos 45° times half the span
    const expected = [0.25, 0.5, 1, 1, 0.6 + quarter, 0.6, 0.6 - quarter, 0.2, 0.2];
    for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 12);
  });

  it("is constant after an optional warm-up", () => {
    expect(rates({ kind: "constant", rate: 3 }, [0, 99])).toEqual([3, 3]);
    expect(rates({ kind: "constant", rate: 3, warmupSteps: 3 }, [0, 1, 2, 3])).toEqual([1, 2, 3, 3]);
  });

  it("holds the rate, then falls in a line over the last steps", () => {
    const schedule: Schedule = { kind: "stable-decay", rate: 2, warmupSteps: 2, decaySteps: 4, totalSteps: 10 };
    expect(rates(schedule, [0, 1, 2, 5, 6, 7, 8, 9, 10])).toEqual([1, 2, 2, 2, 2, 1.5, 1, 0.5, 0]);
  });
});

describe("checkSchedule", () => {
  it("accepts sound schedules and names what is wrong with others", () => {
    const sound: Schedule = { kind: "cosine", rate: 1e-3, floor: 1e-5, warmupSteps: 10, totalSteps: 100 };
    expect(() => checkSchedule(sound)).not.toThrow();
    expect(() => checkSchedule({ ...sound, totalSteps: 10 })).toThrow("totalSteps must hold");
    expect(() => checkSchedule({ ...sound, floor: 1 })).toThrow("floor must lie between 0 and the rate 0.001, got 1");
    expect(() => checkSchedule({ kind: "constant", rate: Number.NaN })).toThrow(UserError);
  });
});
