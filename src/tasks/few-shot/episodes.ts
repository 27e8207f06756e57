import { UserError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";

/** How episodes are drawn; the defaults are those of CD-FSL. */
export interface EpisodeOptions {
  readonly ways?: number; // classes an episode, 5
  readonly shots: number; // training examples a class
  readonly queries?: number; // test examples a class, 15
  readonly episodes?: number; // 600
  readonly seed?: number | string; // 10, as the benchmark's own code
}

/** One small task: rows to learn from and rows to be judged on. Labels count the episode's classes from 0. */
export interface Episode {
  readonly classes: readonly number[]; // [ways], of the whole set
  readonly support: readonly number[]; // [ways · shots] rows, class after class
  readonly query: readonly number[]; // [ways · queries] rows, class after class, none of them in `support`
}

export const episodeDefaults = { ways: 5, queries: 15, episodes: 600, seed: 10 } as const;

/**
 * Draws episodes as the cross-domain few-shot benchmark does (Guo et al., arXiv:1912.07200): classes at random, then of
 * each class `shots` + `queries` examples without replacement. Episode i depends on the seed and i alone. Only classes
 * with enough examples take part.
 *
 * @param labels  [N], the class of each row
 * @throws        UserError (bad-argument) if fewer than `ways` classes have enough examples
 */
export function sampleEpisodes(
  labels: ArrayLike<number>,
  { shots, ways = 5, queries = 15, episodes = 600, seed = episodeDefaults.seed }: EpisodeOptions,
): Episode[] {
  const groups = new Map<number, number[]>();
  for (let row = 0; row < labels.length; row++) {
    const group = groups.get(labels[row]);
    if (group) group.push(row);
    else groups.set(labels[row], [row]);
  }
  const needed = shots + queries;
  const usable = [...groups].filter(([, rows]) => rows.length >= needed).sort(([a], [b]) => a - b);
  if (usable.length < ways) {
    const got = `${usable.length} of ${groups.size}`;
    const remedy = "Use fewer shots, queries or ways.";
    throw new UserError(
      "bad-argument",
      `Few-shot: ${ways} classes need ${needed} examples each, got ${got} that have them. ${remedy}`,
    );
  }
  const root = new Rng(seed);
  return Array.from({ length: episodes }, (_, episode) => {
    const rng = root.fork(episode);
    const chosen = [...rng.permutation(usable.length).slice(0, ways)].map((place) => usable[place]);
    const drawn = chosen.map(([, rows]) => [...rng.permutation(rows.length).slice(0, needed)].map((i) => rows[i]));
    return {
      classes: chosen.map(([index]) => index),
      support: drawn.flatMap((rows) => rows.slice(0, shots)),
      query: drawn.flatMap((rows) => rows.slice(shots)),
    };
  });
}
