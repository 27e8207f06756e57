import { describe, expect, it } from "vitest";
import type { LabelledImage, LabelledSet } from "../../data/labelled/labelled-set.ts";
import { evaluationParts } from "../evaluation-parts.ts";
import { type DrawOptions, drawCalibration } from "./calibration-draw.ts";
import { rocPoints } from "./calibration-entries.ts";

/** A set of `count` pictures a class in each part. */
function setOf(name: string, classes: readonly string[], count: number, parts = ["train", "test"]): LabelledSet {
  const images = (part: string) =>
    Array.from(
      { length: count * classes.length },
      (_, i): LabelledImage => ({ key: `${part}/${i}`, labels: [i % classes.length], texts: [] }),
    );
  return {
    ...{ name, path: name, format: "csv", classes, isMultiLabel: false, problems: [], fingerprint: "00" },
    splits: new Map(parts.map((part) => [part as "train", images(part)])),
    decode: () => Promise.reject(new Error("not decoded here")),
    close: async () => undefined,
  };
}

const set = setOf("pets", ["cat", "dog", "fish", "bird", "frog", "horse"], 20);
const common = { pictures: 25, outsidePictures: 12, seed: 0 };
const draw = (options: Partial<DrawOptions> & Pick<DrawOptions, "labels">, from = set) =>
  drawCalibration(from, evaluationParts(from), { ...common, ...options });
const keysOf = (some: readonly { set: LabelledSet; image: LabelledImage }[]) =>
  some.map((one) => `${one.set.name} ${one.image.key}`);

describe("drawCalibration", () => {
  it("never measures on what it fits on, neither pictures nor outside classes", () => {
    const { fit, heldOut, outsideDivision } = draw({ labels: ["dog", "cat"] });
    expect(outsideDivision).toBe("by class");
    expect(fit.filter(({ label }) => label >= 0)).toHaveLength(25);
    expect(fit.filter(({ label }) => label < 0)).toHaveLength(12);
    expect(heldOut.filter(({ label }) => label >= 0)).toHaveLength(40); // all of the test part
    const fitted = new Set(keysOf(fit));
    expect(keysOf(heldOut).some((key) => fitted.has(key))).toBe(false);
    const groups = (some: typeof fit) => new Set(some.filter(({ label }) => label < 0).map(({ group }) => group));
    expect([...groups(fit), ...groups(heldOut)].sort()).toEqual(["bird", "fish", "frog", "horse"]);
    for (const { group, label } of fit) expect(label).toBe({ dog: 0, cat: 1 }[group] ?? -1);
  });

  it("takes the named classes of an outside set, and its test part alone", () => {
    const outside = { set: setOf("things", ["cup", "sock", "nail"], 10), classes: new Set([0, 2]) };
    const all = draw({ labels: set.classes, outside, outsidePictures: 100 });
    expect(all.outsideDivision).toBe("by picture"); // too few classes to divide by them
    const strangers = [...all.fit, ...all.heldOut].filter(({ label }) => label < 0);
    expect(strangers).toHaveLength(20);
    expect(new Set(strangers.map(({ group }) => group))).toEqual(new Set(["cup", "nail"]));
    expect(strangers.every(({ image }) => image.key.startsWith("test/"))).toBe(true);
    expect(new Set(keysOf(strangers)).size).toBe(20);
  });

  it("halves a set of one part, and draws otherwise for another seed", () => {
    const tested = setOf("tested", ["a", "b"], 30, ["test"]);
    const { fit, heldOut } = draw({ labels: ["a", "b"], pictures: 100 }, tested);
    expect([fit.length, heldOut.length]).toEqual([30, 30]);
    expect(new Set([...keysOf(fit), ...keysOf(heldOut)]).size).toBe(60);
    const other = draw({ labels: ["a", "b"], pictures: 100, seed: 1 }, tested);
    expect(keysOf(other.fit)).not.toEqual(keysOf(fit));
    expect(keysOf(draw({ labels: ["a", "b"], pictures: 100 }, tested).fit)).toEqual(keysOf(fit));
  });

  it("fits on pictures of the set's other classes and of the outside set alike", () => {
    const outside = { set: setOf("things", ["cup", "sock", "nail", "spoon"], 30), classes: new Set([0, 1, 2, 3]) };
    const { fit, heldOut, fittedOutside } = draw({ labels: ["dog", "cat"], outside });
    expect(fittedOutside).toEqual({ ofSet: 6, ofOutsideSet: 6 });
    expect(fit.filter((one) => one.set === outside.set)).toHaveLength(6);
    const shown = new Set(fit.map(({ group }) => group));
    expect(heldOut.some(({ label, group }) => label < 0 && shown.has(group))).toBe(false);
    // Where one has few, the other fills up.
    const few = { set: setOf("few", ["cup", "sock", "nail", "spoon"], 1), classes: new Set([0, 1, 2, 3]) };
    expect(draw({ labels: ["dog", "cat"], outside: few }).fittedOutside).toEqual({ ofSet: 10, ofOutsideSet: 2 });
  });

  it("leaves pictures out that the model was tuned on, where enough others are there, and counts what it could not", () => {
    const keys = set.splits.get("train")?.map(({ key }) => key) ?? [];
    const most = new Set(keys.slice(0, 60));
    const { fit, tunedOn } = draw({ labels: set.classes, pictures: 200, tunedOn: most });
    expect(fit).toHaveLength(60);
    expect(fit.some(({ image }) => most.has(image.key))).toBe(false);
    expect(tunedOn).toEqual({ leftOut: 60, fitted: 0, measured: 0 });
    const all = draw({ labels: set.classes, pictures: 200, tunedOn: new Set([...keys, "test/0"]) });
    expect([all.fit.length, all.tunedOn]).toEqual([120, { leftOut: 0, fitted: 120, measured: 1 }]);
  });

  it("refuses what cannot be calibrated on", () => {
    expect(() => draw({ labels: ["cat", "cow"] })).toThrow('got "cow". It has cat, dog');
    expect(() => draw({ labels: ["cat", "dog"] }, { ...set, isMultiLabel: true })).toThrow("one label each");
    expect(() => draw({ labels: ["a", "b"] }, setOf("small", ["a", "b"], 4))).toThrow("at least 10 pictures");
    const few = { set: setOf("few", ["x"], 3), classes: new Set([0]) };
    expect(() => draw({ labels: set.classes, outside: few })).toThrow("few: outside pictures: at least 5");
  });
});

describe("rocPoints", () => {
  it("keeps both ends of a long curve, and all of a short one", () => {
    const rate = Float64Array.from({ length: 1001 }, (_, i) => i / 1000);
    const curve = { thresholds: rate, falsePositiveRate: rate, truePositiveRate: rate };
    const points = rocPoints(curve);
    expect(points).toHaveLength(201);
    expect([points[0], points.at(-1)]).toEqual([
      [0, 0],
      [1, 1],
    ]);
    const short = Float64Array.of(0, 0.5, 1);
    expect(rocPoints({ thresholds: short, falsePositiveRate: short, truePositiveRate: short })).toHaveLength(3);
  });
});
