import { UserError } from "../../core/errors.ts";
import { chanceAtK } from "../../metrics/intervals.ts";
import { episodeDefaults } from "../../tasks/few-shot/episodes.ts";
import type { FewShotHead } from "../../tasks/few-shot/few-shot.ts";
import { type EpisodeRecipe, florenceEpisodeRecipe } from "../../training/episode-tuning.ts";
import { labelledImages } from "../class-weights.ts";
import { scoreFrozenEpisodes, scoreTunedEpisodes } from "../episode-scores.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationOptions, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import { entryKey } from "../ledger-entry.ts";
import { identityOf } from "../run-evaluation.ts";

const methods = ["logistic", "prototype", "tune"];
const defaultShots = [5, 20, 50];

/**
 * Cross-domain few-shot classification: random episodes of a few classes with a few shots each. Guo et al.,
 * arXiv:1912.07200. A head on frozen features, or Florence's way: the whole image tower tuned in every episode, §3.4.
 */
export const fewShot: EvaluationTask = {
  name: "few-shot",
  summary: "random episodes: --ways classes, --shots images each; a head on frozen features, or --method tune",
  options: [
    ...(["split", "shots", "seeds", "ways", "episodes", "queries"] as const),
    ...(["method", "epochs", "batch", "learningRate"] as const),
  ],

  plan(context) {
    const { set, parts, options } = context;
    const { split = "all", shots = defaultShots, method = "logistic" } = options;
    const { ways, queries, episodes } = { ...episodeDefaults, ...definedOf(options) };
    if (!methods.includes(method)) {
      const rule = `few-shot: method must be ${methods.slice(0, -1).join(", ")} or ${methods.at(-1)}`;
      throw new UserError("bad-argument", `${rule}, got "${method}". Name one.`);
    }
    if (set.isMultiLabel) {
      throw new UserError(
        "unsupported",
        `few-shot: needs one label an image, got several in ${set.name}. Use another set.`,
      );
    }
    labelledImages(context, imagesOfSplit(set, parts, split));
    const tuning = tuningProtocol(method, options);
    return shots.flatMap((count) => {
      if (count === "full") {
        throw new UserError(
          "bad-argument",
          "few-shot: shots must be numbers, got full. Use linear-probe for all images.",
        );
      }
      const images = splitOrigin(parts, split);
      const protocol = { images, method, ways, shots: count, queries, episodes, ...tuning };
      const seeds = options.seeds ?? [episodeDefaults.seed];
      return seeds.map((seed) => ({ task: fewShot.name, metric: "top-1", protocol, seed, split }));
    });
  },

  async *run(context, asked) {
    for (const planned of asked) yield [planned, await scoreEpisodes(context, planned)] as const;
  },
};

/** All that decides the tuning of an episode, for the ledger; nothing where the encoder stays frozen. */
function tuningProtocol(method: string, options: EvaluationOptions): Partial<EpisodeRecipe> {
  const { epochs, batch, learningRate } = options;
  if (method !== "tune") {
    const given = Object.entries({ epochs, batch, "learning-rate": learningRate }).find(([, value]) => value);
    if (!given) return {};
    throw new UserError("bad-argument", `few-shot: --${given[0]} needs --method tune, got ${method}. Leave it out.`);
  }
  if (epochs !== undefined && !Number.isInteger(epochs)) {
    throw new UserError("bad-argument", `few-shot: --epochs must be a whole number, got ${epochs}. Round it.`);
  }
  return {
    ...florenceEpisodeRecipe,
    ...(epochs !== undefined && { epochs }),
    ...(batch !== undefined && { batch }),
    ...(learningRate !== undefined && { encoderRate: learningRate }),
  };
}

async function scoreEpisodes(context: EvaluationContext, planned: PlannedScore): Promise<Score> {
  const { set, parts } = context;
  const { split, seed, protocol } = planned;
  const [ways, shots, queries, episodes] = ["ways", "shots", "queries", "episodes"].map((name) =>
    Number(protocol[name]),
  );
  const drawing = { ways, shots, queries, episodes, seed: seed as number };
  const chosen = labelledImages({ set }, imagesOfSplit(set, parts, split));
  const { method } = protocol;
  const { mean, interval, accuracies, failed } =
    method === "tune"
      ? await scoreTunedEpisodes(context, chosen, {
          ...drawing,
          recipe: tuningProtocol(method, context.options) as EpisodeRecipe,
          key: entryKey(identityOf(context, planned)),
        })
      : await scoreFrozenEpisodes(context, chosen, { ...drawing, head: method as FewShotHead });
  return {
    score: mean,
    interval: [Math.max(0, interval[0]), Math.min(1, interval[1])],
    chance: chanceAtK(1, ways),
    n: accuracies.length,
    failed,
    metrics: { "lowest episode": Math.min(...accuracies), "highest episode": Math.max(...accuracies) },
  };
}

function definedOf({ ways, queries, episodes }: EvaluationContext["options"]) {
  return { ...(ways && { ways }), ...(queries && { queries }), ...(episodes && { episodes }) };
}
