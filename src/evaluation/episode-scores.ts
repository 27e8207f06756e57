import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import { PixelStore } from "../data/pixel-store.ts";
import { topKAccuracy } from "../metrics/accuracy.ts";
import { type Episode, type EpisodeOptions, sampleEpisodes } from "../tasks/few-shot/episodes.ts";
import { evaluateFewShot, type FewShotHead, type FewShotResult, judgeEpisodes } from "../tasks/few-shot/few-shot.ts";
import { type EpisodeRecipe, EpisodeTuner } from "../training/episode-tuning.ts";
import { MetricsLog, readMetrics } from "../training/metrics-log.ts";
import { readCheckpoint } from "../zoo/checkpoint-formats.ts";
import type { EvaluationContext } from "./evaluation-task.ts";
import { imageRows } from "./image-rows.ts";

/** What episodes of a set gave, and how many of its images could not be used. */
export interface EpisodeScores extends FewShotResult {
  readonly failed: number;
}

type Episodes = Required<Pick<EpisodeOptions, "ways" | "shots" | "queries" | "episodes" | "seed">>;

/** Heads on frozen features, episode by episode. */
export async function scoreFrozenEpisodes(
  context: EvaluationContext,
  chosen: readonly LabelledImage[],
  options: Episodes & { readonly head: FewShotHead },
): Promise<EpisodeScores> {
  const { signal, onProgress } = context;
  const { rows, dim, images, failed } = await imageRows(context, chosen, "features");
  const labels = images.map((image) => image.labels[0]);
  const result = await evaluateFewShot({ features: rows, dim }, labels, {
    ...options,
    ...(signal && { signal }),
    onProgress: (done) => onProgress?.(`${options.shots} shots`, done, options.episodes, "episodes"),
  });
  return { ...result, failed };
}

/**
 * The whole image tower tuned anew in every episode. The accuracy of each is on record as soon as it is known, so that a
 * killed run goes on after the last episode that it finished; the record goes when all are there.
 *
 * @param key  of the score, which names the record
 */
export async function scoreTunedEpisodes(
  context: EvaluationContext,
  chosen: readonly LabelledImage[],
  { recipe, key, ...options }: Episodes & { readonly recipe: EpisodeRecipe; readonly key: string },
): Promise<EpisodeScores> {
  const { set, imageSize, cacheFolder, signal, onProgress, onFailure } = context;
  const { architecture, preprocessing, weights } = await readCheckpoint(await context.modelFolder(), { imageSize });
  const store = await PixelStore.open({
    set,
    images: chosen,
    preprocessing,
    cacheFolder,
    ...(signal && { signal }),
    onProgress: (done, total) => onProgress?.("read", done, total, "pictures"),
  });
  const record = join(cacheFolder, "evaluation-runs", `${key.slice(0, 24)}.episodes.jsonl`);
  const known = (await readMetrics(record)).map(({ accuracy }) => Number(accuracy));
  const log = await MetricsLog.open(record, known.length);
  let tuner: EpisodeTuner | undefined;
  try {
    for (const failure of store.failures) onFailure?.(failure);
    const episodes = sampleEpisodes(
      store.images.map(({ labels }) => labels[0]),
      options,
    );
    tuner = await EpisodeTuner.create({ architecture, preprocessing, weights }, options.ways, recipe);
    const steps = tuner.stepsOf(options.ways * options.shots);
    const tell = (done: number) => onProgress?.(`tune, ${options.shots} shots`, done, episodes.length * steps, "steps");
    const learner = tunedLearner(tuner, store, options, (index, step) => tell(index * steps + step), signal);
    const result = await judgeEpisodes(episodes, learner, {
      known,
      ...(signal && { signal }),
      onProgress: (done, accuracy) => log.append({ step: done, accuracy }),
    });
    await rm(record, { force: true });
    return { ...result, failed: store.failures.length };
  } finally {
    log.close();
    await tuner?.dispose();
    store.close();
  }
}

/** Tunes on an episode's support, and gives the share of its queries that the tuned tower gets right. */
function tunedLearner(
  tuner: EpisodeTuner,
  store: PixelStore,
  { ways, seed }: Episodes,
  onStep: (index: number, step: number) => void,
  signal: AbortSignal | undefined,
) {
  return async ({ support, query }: Episode, index: number): Promise<number> => {
    const labelOf = (place: number, rows: number) => Math.floor((place * ways) / rows); // class after class
    const probabilities = await tuner.run(
      {
        store,
        support: support.map((row, i) => ({ row, label: labelOf(i, support.length) })),
        query,
        seed: `${seed} ${index}`,
      },
      { ...(signal && { signal }), onStep: (step) => onStep(index, step) },
    );
    const labels = query.map((_, i) => labelOf(i, query.length));
    return topKAccuracy(probabilities, labels, ways);
  };
}
