import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import { tuningParts, tuningPartsBySplits } from "../data/labelled/tuning-parts.ts";
import { evaluationParts } from "./evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask } from "./evaluation-task.ts";
import { planScores } from "./run-evaluation.ts";
import { tunedOn } from "./tuned-on.ts";

const images = Array.from({ length: 100 }, (_, i): LabelledImage => ({ key: `${i}`, labels: [i % 2], texts: [] }));
const set: LabelledSet = {
  ...{ name: "set", path: "set", format: "csv", classes: ["a", "b"], isMultiLabel: false, problems: [] },
  splits: new Map([["train", images]]),
  fingerprint: "00ff",
  decode: () => Promise.reject(new Error("not decoded here")),
  close: async () => undefined,
};

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-tuned-on-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const keysAfter = async (report: unknown) => {
  await writeFile(join(folder, "tuning.json"), typeof report === "string" ? report : JSON.stringify(report));
  return tunedOn(folder, set);
};

describe("tunedOn", () => {
  it("knows what a model was trained on by its report, also of the division before", async () => {
    const keysOf = (some: readonly LabelledImage[]) => new Set(some.map(({ key }) => key));
    const data = { fingerprint: set.fingerprint };
    expect(await keysAfter({ data: { ...data, division: "as evaluated" }, recipe: { seed: 4 } })).toEqual(
      keysOf(tuningParts(set, 4).train),
    );
    expect(await keysAfter({ data, recipe: { seed: 4 } })).toEqual(keysOf(tuningPartsBySplits(set, 4).train));
  });

  it("says nothing of models tuned on other sets, or not at all", async () => {
    expect(await keysAfter({ data: { fingerprint: "aa" }, recipe: { seed: 0 } })).toBeUndefined();
    expect(await keysAfter("no JSON")).toBeUndefined();
    expect(await tunedOn(join(folder, "nowhere"), set)).toBeUndefined();
  });
});

describe("planScores", () => {
  it("marks scores of pictures that the model was tuned on, and warns once; leaves others their key", async () => {
    const warnings: string[] = [];
    const parts = evaluationParts(set);
    const context = {
      ...{ model: { name: "mine" }, set, parts, memory: new Map(), options: {} },
      onWarning: (message: string) => warnings.push(message),
    } as unknown as EvaluationContext;
    const planned = { task: "t", metric: "top-1", seed: null, split: "test", protocol: { images: "own" } };
    const task = { plan: () => [planned] } as unknown as EvaluationTask;
    const now = await keysAfter({
      data: { fingerprint: set.fingerprint, division: "as evaluated" },
      recipe: { seed: 0 },
    });
    expect(planScores(task, { ...context, tunedOn: now })).toEqual([planned]);
    const before = await keysAfter({ data: { fingerprint: set.fingerprint }, recipe: { seed: 0 } });
    const mark = `${parts.test.filter(({ key }) => before?.has(key)).length} of ${parts.test.length}`;
    for (let i = 0; i < 2; i++) {
      expect(planScores(task, { ...context, tunedOn: before })[0].protocol).toEqual({ images: "own", tunedOn: mark });
    }
    expect(warnings).toEqual([expect.stringContaining(`mine was tuned on ${mark} pictures of split "test"`)]);
  });
});
