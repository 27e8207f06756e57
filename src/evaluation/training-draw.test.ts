import { describe, expect, it } from "vitest";
import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import { evaluationParts } from "./evaluation-parts.ts";
import type { EvaluationContext } from "./evaluation-task.ts";
import { fitProbe } from "./probe-fit.ts";
import { drawnSet, oneNameEach } from "./tasks/fine-tune.ts";
import { exposurePlan, learningParts, trainingDraw } from "./training-draw.ts";

const images = (prefix: string, count: number): LabelledImage[] =>
  Array.from({ length: count }, (_, i) => ({ key: `${prefix}${10 + i}`, labels: [i % 2], texts: [] }));
const set: LabelledSet = {
  ...{ name: "set", path: "set", format: "csv", classes: ["a", "b"], isMultiLabel: false, problems: [] },
  splits: new Map([
    ["train", images("t", 40)],
    ["val", images("v", 10)],
    ["test", images("x", 10)],
  ]),
  fingerprint: "00ff",
  decode: () => Promise.reject(new Error("not decoded here")),
  close: async () => undefined,
};
const context = { set, parts: evaluationParts(set), options: {}, memory: new Map() } as unknown as EvaluationContext;
const keysOf = (some: readonly LabelledImage[]) => some.map(({ key }) => key);

describe("what is learnt from", () => {
  it("is never what is scored, and the protocol counts what was left out", () => {
    const planOf = (split: string, learnsFromVal: boolean) =>
      exposurePlan(context, { split, learnsFromVal })[0].protocol.withoutScored;
    expect([planOf("test", true), planOf("val", true), planOf("val", false)]).toEqual([undefined, 10, undefined]);
    expect([planOf("first:5", false), planOf("last:25", true)]).toEqual([5, 15]); // keys are in the order t, v, x
    const { train, val } = learningParts(context, "first:5");
    expect([keysOf(train).includes("t14"), keysOf(train).includes("t15"), val.length]).toEqual([false, true, 10]);
    expect(() => learningParts(context, "all")).toThrow(
      'set: training pictures must be left beside the scored ones of split "all"',
    );
    expect(() => learningParts(context, "train")).toThrow("Choose another --split");
  });

  it("takes other training images for the validation of few shots where the validation part is scored", () => {
    const usual = trainingDraw(context, 3, 30, "test");
    const draw = trainingDraw(context, 3, 30, "val");
    expect(keysOf(draw.train)).toEqual(keysOf(usual.train));
    expect(draw.val).toHaveLength(6);
    expect(keysOf(draw.val).every((key) => key.startsWith("t") && !keysOf(draw.train).includes(key))).toBe(true);
  });
});

describe("fitProbe", () => {
  it("keeps fits of other validation images apart", async () => {
    const train = images("t", 4).filter(({ labels }) => labels[0] === 0); // of one class: refused, but remembered
    for (const val of [images("v", 2), images("w", 2), images("v", 2)])
      await expect(fitProbe(context, { train, val, notes: [] }, 2)).rejects.toThrow("2 classes");
    expect(context.memory.size).toBe(2);
  });
});

describe("a tuning that is scored", () => {
  it("is trained on the draw under the names that it is scored by", () => {
    const prompts = {
      templates: ["{}"],
      title: "default",
      names: [
        ["crane", "bird"],
        ["crane", "machine"],
      ],
    };
    const draw = trainingDraw(context, 3, 30, "test");
    const named = drawnSet({ ...context, options: { prompts } }, draw, "key");
    expect(named.set.classes).toEqual(["crane", "machine"]);
    expect(named.parts).toMatchObject({ train: draw.train, val: draw.val, test: [] });
    expect(drawnSet(context, draw, "key").set.classes).toEqual(["a", "b"]);
    expect(oneNameEach([["x"], ["x"]])).toEqual(["x", "x"]);
  });
});
