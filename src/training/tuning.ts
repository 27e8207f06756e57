import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { LabelledSet } from "../data/labelled/labelled-set.ts";
import { withFolder } from "../io/folder-lock.ts";
import { mergeAdapters } from "../nn/low-rank.ts";
import { type RunOptions, TowerRunner } from "../tasks/fine-tune/tower-runner.ts";
import type { TokenizerSource } from "../zoo/tokenizer-files.ts";
import { type FineTunedModel, type FineTuningOptions, fineTune } from "./fine-tuning.ts";
import { curveOf, writeLossCurve } from "./loss-curve.ts";
import { readMetrics } from "./metrics-log.ts";
import {
  bestMixture,
  lossOf,
  type MixtureScore,
  type ScoredPart,
  scoreMixtures,
  type TunedPair,
  taskScore,
} from "./retention.ts";
import { saveTuned } from "./save-tuned.ts";
import type { TuningReport } from "./tuned-model-card.ts";
import { openControlData, type TuningData } from "./tuning-data.ts";

/** Which point of the line between the original and the tuned model to keep: a number, or the best on validation. */
export type MixtureChoice = number | "best";

export interface TuningOptions extends FineTuningOptions {
  readonly name: string; // of the tuned model
  readonly base: string; // name of the original
  readonly tokenizer: TokenizerSource;
  /** 1, the tuned model itself, if left out. */
  readonly mixture?: MixtureChoice;
  /** Another set that the model should still be good at, zero-shot. */
  readonly control?: { readonly set: LabelledSet; readonly templates: readonly string[] };
  /** What the control score may fall by, as a share of all pictures; bounds the choice of the best mixture. */
  readonly maxLoss?: number;
  readonly onMixture?: (score: MixtureScore) => void;
  /** Told of each round of scoring, as pictures are done. */
  readonly onScoring?: (done: number, total: number) => void;
}

export interface TuningResult {
  readonly finished: boolean; // false if the run was stopped and can be resumed
  readonly report: TuningReport;
  readonly folders: { readonly model: string; readonly adapter: string | undefined };
  /** What the control score fell by; 0 without a control set. */
  readonly loss: number;
}

/** A loss on the control set that a mixture may have where nothing else is said. */
export const defaultMaxLoss = 0.02;

const sweep = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

/**
 * Tunes a model, weighs the result against the original, and saves what is kept as `<runDir>/model` with its card, the
 * report `tuning.json` and the loss curve.
 *
 * @returns undefined if the signal stopped it before it was done; the same call goes on
 * @throws UserError as {@link fineTune}, bad-argument for a mixture that the head cannot have, and busy if
 *   another process is at work in the folder
 */
export function tune(options: TuningOptions): Promise<TuningResult | undefined> {
  return withFolder(options.runDir, () => tuneAlone(options));
}

async function tuneAlone(options: TuningOptions): Promise<TuningResult | undefined> {
  const { recipe, set, mixture = 1, runDir, checkpoint, name, base } = options;
  if (recipe.method === "head" && recipe.headStart === "random" && mixture !== 1) {
    const rule = "a mixture needs a head that starts as the original classifies (zero-shot)";
    throw new UserError("bad-argument", `Tuning: ${rule}, got one that starts at random.`);
  }
  const model = await fineTune(options);
  await drawCurve(runDir, name);
  if (!model.finished) return undefined;
  const pair = pairOf(model, options);
  const runner = new TowerRunner(model.architecture, checkpoint.tokenizer);
  try {
    const parts = await scoredParts(options, model);
    const run = { signal: options.signal, onProgress: options.onScoring };
    const alphas = mixture === "best" ? sweep : [...new Set([0, mixture, 1])].sort((a, b) => a - b);
    const usable = pair.head && recipe.headStart === "random" ? [1] : alphas;
    const mixtures = await scoreMixtures(runner, pair, usable, parts, {
      ...run,
      ...(options.onMixture ? { onScore: options.onMixture } : {}),
    });
    const bound = options.control ? (options.maxLoss ?? defaultMaxLoss) : Number.POSITIVE_INFINITY;
    const kept = mixture === "best" ? bestMixture(mixtures, bound) : mixtureOf(mixtures, mixture);
    const report: TuningReport = {
      name,
      base: { name: base, fingerprint: options.fingerprint },
      data: describeData(set, model.data),
      control: options.control && { name: options.control.set.name, fingerprint: options.control.set.fingerprint },
      recipe,
      steps: model.steps,
      wallSeconds: model.wallSeconds,
      mixtures,
      alpha: kept.alpha,
      test: parts.test && (await testScores(runner, parts.test, pair, { alpha: kept.alpha, usable, run })),
    };
    const { isMultiLabel, classes } = set;
    const folders = await saveTuned({
      runDir,
      model,
      pair,
      report,
      tokenizer: options.tokenizer,
      classes,
      isMultiLabel,
    });
    const before = mixtures.find(({ alpha }) => alpha === 0);
    return { finished: true, report, folders, loss: before ? lossOf(kept, before) : 0 };
  } finally {
    await runner.dispose();
    for (const store of [model.data.train, model.data.validation, model.data.test]) store?.close();
  }
}

/** Scores on the test part: before, of what is kept, and of plain tuning, which a mixture is measured by. */
async function testScores(
  runner: TowerRunner,
  part: ScoredPart,
  pair: TunedPair,
  { alpha, usable, run }: { readonly alpha: number; readonly usable: readonly number[]; readonly run: RunOptions },
): Promise<NonNullable<TuningReport["test"]>> {
  const before = usable.includes(0) ? await taskScore(runner, part, pair, 0, run) : undefined;
  const after = alpha === 0 && before ? before : await taskScore(runner, part, pair, alpha, run);
  return { before, after, plain: alpha === 1 ? after : await taskScore(runner, part, pair, 1, run) };
}

/** The weights before and after, adapters merged in. */
function pairOf({ start, tuned, head, adapters }: FineTunedModel, { recipe }: TuningOptions): TunedPair {
  if (!adapters) return { start, tuned, head };
  const merged = mergeAdapters(start, adapters, recipe.lora);
  // What no adapter touched stays the array of `start`, which tells scoring that it did not change.
  const touched = (name: string): boolean => adapters.has(name.replace(/weight$/, "adapter.down"));
  return {
    start,
    tuned: new Map([...start].map(([name, a]) => [name, touched(name) ? (merged.get(name) ?? a) : a])),
    head,
  };
}

async function scoredParts(
  { set, recipe, control, cacheFolder, signal, onFailure }: TuningOptions,
  { data, preprocessing }: FineTunedModel,
): Promise<{ validation: ScoredPart; test: ScoredPart | undefined; control: ScoredPart | undefined }> {
  const { templates } = recipe;
  const controlStore =
    control &&
    (await openControlData({ set: control.set, preprocessing, seed: recipe.seed, cacheFolder, signal, onFailure }));
  return {
    validation: { set, store: data.validation, templates },
    test: data.test && { set, store: data.test, templates },
    control: control && controlStore && { ...control, store: controlStore },
  };
}

function mixtureOf(mixtures: readonly MixtureScore[], alpha: number): MixtureScore {
  return mixtures.find((score) => score.alpha === alpha) as MixtureScore;
}

function describeData(
  set: LabelledSet,
  { train, validation, test, division, heldOut }: TuningData,
): TuningReport["data"] {
  const failures = [train, validation, test].map((store) => store?.failures.length ?? 0);
  return {
    name: set.name,
    fingerprint: set.fingerprint,
    classes: set.classes.length,
    train: train.count,
    validation: validation.count,
    division,
    heldOut,
    failed: failures.reduce((a, b) => a + b, 0),
  };
}

async function drawCurve(runDir: string, name: string): Promise<void> {
  const records = await readMetrics(join(runDir, "metrics.jsonl"));
  if (records.length < 2) return;
  await writeLossCurve(runDir, "loss-curve", {
    title: `${name}: tuning`,
    loss: curveOf(records, "loss"),
    learningRate: curveOf(records, "learningRate"),
  });
}
