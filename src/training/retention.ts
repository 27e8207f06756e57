import { UserError } from "../core/errors.ts";
import type { LabelledSet } from "../data/labelled/labelled-set.ts";
import type { PixelStore } from "../data/pixel-store.ts";
import type { Weights } from "../nn/module.ts";
import type { HeadInput } from "../tasks/fine-tune/classifier-head.ts";
import type { RunOptions, TowerRunner } from "../tasks/fine-tune/tower-runner.ts";
import { headScore, type TuningScore, zeroShotScore } from "./tuning-scores.ts";
import { interpolateWeights } from "./weight-interpolation.ts";

/** A model before and after tuning, with a head if it has one: what is mixed. */
export interface TunedPair {
  readonly start: Weights;
  readonly tuned: Weights;
  readonly head: { readonly input: HeadInput; readonly start: Weights; readonly tuned: Weights } | undefined;
}

/** Pictures of a set with what scores them. */
export interface ScoredPart {
  readonly set: LabelledSet;
  readonly store: PixelStore;
  readonly templates: readonly string[];
}

/** What a mixture of the model before and after tuning is worth: on the task, and on what it should not forget. */
export interface MixtureScore {
  readonly alpha: number; // 0: the model before, 1: after
  readonly validation: TuningScore;
  readonly control: TuningScore | undefined;
}

/** The model at a point of the line between before and after, and its head. */
export function mixtureAt(
  { start, tuned, head }: TunedPair,
  alpha: number,
): { weights: Weights; head: Weights | undefined } {
  return {
    weights: interpolateWeights(start, tuned, alpha),
    head: head && interpolateWeights(head.start, head.tuned, alpha),
  };
}

/** A model's score on a part of the set it was tuned on: by its head if it has one, else by its texts. */
export async function taskScore(
  runner: TowerRunner,
  part: ScoredPart,
  pair: TunedPair,
  alpha: number,
  options: RunOptions = {},
): Promise<TuningScore> {
  const { weights, head } = mixtureAt(pair, alpha);
  const features = await runner.embedStore(weights, part.store, options);
  if (head && pair.head) return headScore(features, head, pair.head.input, part.set, part.store);
  return zeroShotScore({ runner, ...part }, weights, features, options);
}

/**
 * Scores mixtures of the model before and after tuning. Wortsman et al. (WiSE-FT), arXiv:2109.01903: on the line between
 * the two lie models that keep most of the gain and lose little of what the original could do.
 *
 * @param alphas   points of the line, in [0, 1]
 * @param control  pictures of another set, scored zero-shot; left out if nothing is to be kept
 */
export async function scoreMixtures(
  runner: TowerRunner,
  pair: TunedPair,
  alphas: readonly number[],
  parts: { readonly validation: ScoredPart; readonly control?: ScoredPart | undefined },
  options: RunOptions & { readonly onScore?: (score: MixtureScore) => void } = {},
): Promise<MixtureScore[]> {
  const scores: MixtureScore[] = [];
  for (const alpha of alphas) {
    const validation = await taskScore(runner, parts.validation, pair, alpha, options);
    const control =
      parts.control && (await taskScore(runner, parts.control, { ...pair, head: undefined }, alpha, options));
    const score = { alpha, validation, control };
    options.onScore?.(score);
    scores.push(score);
  }
  return scores;
}

/** How far a control score fell below that of the model before tuning, as a share of all pictures; negative if it rose. */
export function lossOf({ control }: MixtureScore, before: MixtureScore): number {
  return control && before.control ? before.control.value - control.value : 0;
}

/**
 * The share of what plain tuning (α = 1) gained over the model before that a score keeps: 1 for all of it, 0 for none, above
 * 1 where a mixture beats plain tuning; nothing where plain tuning gained nothing.
 */
export function gainShare(kept: TuningScore, before: TuningScore, plain: TuningScore): number | undefined {
  const gain = plain.value - before.value;
  return gain > 0 ? (kept.value - before.value) / gain : undefined;
}

/** {@link gainShare} on validation, of one mixture among those scored. */
export function gainShareAmong(scores: readonly MixtureScore[], { validation }: MixtureScore): number | undefined {
  const [before, plain] = [0, 1].map((alpha) => scores.find((score) => score.alpha === alpha)?.validation);
  return before && plain && gainShare(validation, before, plain);
}

/**
 * The mixture with the best validation score among those that lose no more than `maxLoss` on the control set; of equal
 * ones that nearest to the original. If none but the original keeps within the bound, it is the original.
 *
 * @param scores  with one of α = 0 among them
 */
export function bestMixture(scores: readonly MixtureScore[], maxLoss: number): MixtureScore {
  const before = scores.find(({ alpha }) => alpha === 0);
  if (!before) throw new UserError("bad-argument", "Mixtures: one must have α = 0, to compare the others with.");
  const kept = scores.filter((score) => lossOf(score, before) <= maxLoss);
  return kept.reduce((best, score) => {
    const [a, b] = [score.validation.value, best.validation.value];
    return a > b || (a === b && score.alpha < best.alpha) ? score : best;
  }, before);
}
