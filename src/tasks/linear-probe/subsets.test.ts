import { describe, expect, it } from "vitest";
import { ShapeError } from "../../core/errors.ts";
import { holdOutRows, kShotRows, pickFeatures, pickTargets } from "./subsets.ts";

const one = { kind: "one", classes: 4, labels: [0, 0, 1, 1, 1, 1, 1, 2, 0, 1] } as const; // 3, 6, 1 and none
const several = { kind: "several", classes: 3, truth: Uint8Array.of(1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0) } as const;

describe("kShotRows", () => {
  it("takes k of every class, and says which have fewer", () => {
    const { rows, shortClasses } = kShotRows(one, 2, 1);
    expect(rows.map((row) => one.labels[row]).sort()).toEqual([0, 0, 1, 1, 2]);
    expect(new Set(rows).size).toBe(5);
    expect(shortClasses).toEqual([
      { index: 2, available: 1 },
      { index: 3, available: 0 },
    ]);
  });

  it("grows with k, repeats with the seed, differs between seeds", () => {
    const [two, four] = [kShotRows(one, 2, 7).rows, kShotRows(one, 4, 7).rows];
    expect(four).toEqual(expect.arrayContaining([...two]));
    expect(kShotRows(one, 2, 7).rows).toEqual(two);
    const draws = new Set(Array.from({ length: 20 }, (_, seed) => kShotRows(one, 2, seed).rows.join()));
    expect(draws.size).toBeGreaterThan(5);
  });

  it("counts an example for each of its labels", () => {
    const { rows, shortClasses } = kShotRows(several, 1, 3);
    expect(rows).toEqual([0, 2]); // the two that bring the rare classes bring class 0, too
    expect(shortClasses).toEqual([]);
    expect(kShotRows(several, 3, 3)).toMatchObject({ rows: [0, 1, 2], shortClasses: [{ index: 1 }, { index: 2 }] });
    expect(() => kShotRows(one, 0, 1)).toThrow(ShapeError);
  });
});

describe("holdOutRows", () => {
  it("splits every class by the share, and leaves no row out", () => {
    const { fit, heldOut } = holdOutRows(one, 0.34, 5);
    expect(heldOut.map((row) => one.labels[row]).sort()).toEqual([0, 1, 1]);
    expect([...fit, ...heldOut].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(holdOutRows(several, 0.5, 5).heldOut).toHaveLength(2);
    expect(() => holdOutRows(one, 1, 5)).toThrow("in (0, 1), got 1");
  });
});

describe("picking", () => {
  it("keeps the order of rows", () => {
    expect([...pickFeatures(Float32Array.of(0, 1, 10, 11, 20, 21), 2, [2, 0])]).toEqual([20, 21, 0, 1]);
    expect(pickTargets(one, [7, 0])).toMatchObject({ labels: [2, 0] });
    expect(pickTargets(several, [2, 0])).toMatchObject({ truth: Uint8Array.of(1, 1, 0, 1, 0, 1) });
  });
});
