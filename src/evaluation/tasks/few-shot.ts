import { UserError } from "../../core/errors.ts";
import { chanceAtK } from "../../metrics/intervals.ts";
import { episodeDefaults } from "../../tasks/few-shot/episodes.ts";
import { evaluateFewShot, type FewShotHead } from "../../tasks/few-shot/few-shot.ts";
import { labelledImages } from "../class-weights.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import { imageRows } from "../image-rows.ts";

const heads: readonly FewShotHead[] = ["logistic", "prototype"];
const defaultShots = [5, 20, 50];

/**
 * Cross-domain few-shot classification: random episodes of a few classes with a few shots each, a head on frozen features.
 * Guo et al., arXiv:1912.07200. Differs from Florence §3.4: the encoder stays frozen.
 */
export const fewShot: EvaluationTask = {
  name: "few-shot",
  summary: "random episodes: --ways classes, --shots images each, a head on frozen features",
  options: ["split", "shots", "seeds", "ways", "episodes", "queries", "method"],

  plan(context) {
    const { set, parts, options } = context;
    const { split = "all", shots = defaultShots, method = "logistic" } = options;
    const { ways, queries, episodes } = { ...episodeDefaults, ...definedOf(options) };
    if (!heads.some((head) => head === method)) {
      throw new UserError("bad-argument", `few-shot: method must be ${heads.join(" or ")}, got "${method}". Name one.`);
    }
    if (set.isMultiLabel) {
      throw new UserError(
        "unsupported",
        `few-shot: needs one label an image, got several in ${set.name}. Use another set.`,
      );
    }
    labelledImages(context, imagesOfSplit(set, parts, split));
    return shots.flatMap((count) => {
      if (count === "full") {
        throw new UserError(
          "bad-argument",
          "few-shot: shots must be numbers, got full. Use linear-probe for all images.",
        );
      }
      const protocol = { images: splitOrigin(parts, split), method, ways, shots: count, queries, episodes };
      const seeds = options.seeds ?? [episodeDefaults.seed];
      return seeds.map((seed) => ({ task: fewShot.name, metric: "top-1", protocol, seed, split }));
    });
  },

  async *run(context, asked) {
    for (const planned of asked) yield [planned, await scoreEpisodes(context, planned)] as const;
  },
};

async function scoreEpisodes(context: EvaluationContext, { split, seed, protocol }: PlannedScore): Promise<Score> {
  const { set, parts, signal, onProgress } = context;
  const [ways, shots, queries, episodes] = ["ways", "shots", "queries", "episodes"].map((name) =>
    Number(protocol[name]),
  );
  const chosen = labelledImages({ set }, imagesOfSplit(set, parts, split));
  const { rows, dim, images, failed } = await imageRows(context, chosen, "features");
  const labels = images.map((image) => image.labels[0]);
  const { mean, interval, accuracies } = await evaluateFewShot({ features: rows, dim }, labels, {
    head: protocol.method as FewShotHead,
    ways,
    shots,
    queries,
    episodes,
    seed: seed as number,
    ...(signal && { signal }),
    onProgress: (done) => onProgress?.(`${shots} shots`, done, episodes, "episodes"),
  });
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
