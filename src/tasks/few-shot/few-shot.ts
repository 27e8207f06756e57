import { topKAccuracy } from "../../metrics/accuracy.ts";
import { type Interval, meanWithInterval } from "../../metrics/intervals.ts";
import type { Program } from "../../runtime/program.ts";
import { type FeatureRows, LogisticObjective } from "../logistic-objective.ts";
import { fitObjective, type LinearClassifier } from "../logistic-regression.ts";
import { type Episode, type EpisodeOptions, episodeDefaults, sampleEpisodes } from "./episodes.ts";
import { prototypeClassifier } from "./prototypes.ts";

/** The heads that are trained on frozen features: logistic regression, or the class whose mean is nearest. */
export type FewShotHead = "logistic" | "prototype";

export interface FewShotOptions extends EpisodeOptions {
  readonly head?: FewShotHead;
  /** L2 strength of the logistic head; 1, scikit-learn's default. */
  readonly lambda?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (episodesDone: number, accuracy: number) => void;
  /** Accuracies of the first episodes from an interrupted run, which are not run again. */
  readonly known?: readonly number[];
}

export interface FewShotResult {
  readonly accuracies: readonly number[]; // one an episode, in [0, 1]
  readonly mean: number;
  /** Mean ± 1.96 σ/√episodes, as papers print it. */
  readonly interval: Interval;
  readonly chance: number;
}

/**
 * Cross-domain few-shot evaluation on frozen features (Guo et al., arXiv:1912.07200): a head for each of 600 random
 * episodes, judged on its queries.
 *
 * @param labels  [N], the class of each row of features
 * @throws        UserError if the classes are too small for an episode; the signal's reason when aborted
 */
export async function evaluateFewShot(
  rows: FeatureRows,
  labels: ArrayLike<number>,
  { head = "logistic", lambda = 1, threads = 1, signal, onProgress, known = [], ...options }: FewShotOptions,
): Promise<FewShotResult> {
  const { ways = episodeDefaults.ways } = options;
  let program: Program | undefined; // every episode has the same shape
  const fitHead = async (support: EpisodeExamples): Promise<LinearClassifier> => {
    if (head === "prototype") return prototypeClassifier(support, support.labels, ways);
    const targets = { kind: "one", labels: support.labels, classes: ways } as const;
    const objective = await LogisticObjective.create(support, targets, { threads, ...(program ? { program } : {}) });
    program = objective.program;
    return (await fitObjective(objective, targets, { lambda, ...(signal ? { signal } : {}) })).classifier;
  };
  try {
    return await judgeEpisodes(
      sampleEpisodes(labels, options),
      async ({ support, query }) =>
        accuracyOf(await fitHead(examplesOf(rows, support, ways)), examplesOf(rows, query, ways)),
      { known, ...(signal && { signal }), ...(onProgress && { onProgress }) },
    );
  } finally {
    await program?.dispose();
  }
}

/**
 * The mean over episodes of whatever learner, as papers print it.
 *
 * @param learner  learns from an episode's support and gives its accuracy on the queries, in [0, 1]
 * @throws         the signal's reason when aborted
 */
export async function judgeEpisodes(
  episodes: readonly Episode[],
  learner: (episode: Episode, index: number) => Promise<number>,
  { known = [], signal, onProgress }: Pick<FewShotOptions, "known" | "signal" | "onProgress"> = {},
): Promise<FewShotResult> {
  const accuracies = known.slice(0, episodes.length);
  for (let index = accuracies.length; index < episodes.length; index++) {
    signal?.throwIfAborted();
    const accuracy = await learner(episodes[index], index);
    accuracies.push(accuracy);
    onProgress?.(accuracies.length, accuracy);
  }
  return { accuracies, ...meanWithInterval(accuracies), chance: 1 / (episodes[0]?.classes.length ?? 1) };
}

interface EpisodeExamples extends FeatureRows {
  readonly labels: readonly number[];
}

function examplesOf({ features, dim }: FeatureRows, rows: Episode["support"], ways: number): EpisodeExamples {
  const picked = new Float32Array(rows.length * dim);
  for (const [i, row] of rows.entries()) picked.set(features.subarray(row * dim, (row + 1) * dim), i * dim);
  const perClass = rows.length / ways;
  return { features: picked, dim, labels: rows.map((_, i) => Math.floor(i / perClass)) };
}

/** A few dozen rows: a loop is quicker than a program. */
function accuracyOf({ weights, bias, classes, dim }: LinearClassifier, { features, labels }: EpisodeExamples): number {
  const scores = new Float32Array(labels.length * classes);
  for (let row = 0; row < labels.length; row++) {
    for (let k = 0; k < classes; k++) {
      let score = bias[k];
      for (let d = 0; d < dim; d++) score += weights[k * dim + d] * features[row * dim + d];
      scores[row * classes + k] = score;
    }
  }
  return topKAccuracy(scores, labels, classes);
}
