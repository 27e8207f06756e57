import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../core/errors.ts";
import type { LabelledSet } from "../../data/labelled/labelled-set.ts";
import type { TuningParts } from "../../data/labelled/tuning-parts.ts";
import { headLogits } from "../../tasks/fine-tune/classifier-head.ts";
import { type FineTuneRecipe, fineTuneRecipe } from "../../tasks/fine-tune/recipe.ts";
import { tune } from "../../training/tuning.ts";
import { readCheckpoint } from "../../zoo/checkpoint-formats.ts";
import { type ClassifierFile, readClassifier } from "../../zoo/classifier-files.ts";
import type { FlorenceModel } from "../../zoo/florence-model.ts";
import { loadModel } from "../../zoo/load-model.ts";
import { readTokenizerSource } from "../../zoo/tokenizer-files.ts";
import { chosenMetric } from "../chosen-metric.ts";
import { classLogits, type LogitBlock } from "../class-logits.ts";
import { chosenPrompts, classWeights, labelledImages, promptProtocol } from "../class-weights.ts";
import { classificationScore } from "../classification-score.ts";
import { imagesOfSplit, splitOrigin } from "../evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "../evaluation-task.ts";
import type { Exposure } from "../exposure-curves.ts";
import { type ImageRows, imageRows } from "../image-rows.ts";
import { judge } from "../judgement.ts";
import { entryKey } from "../ledger-entry.ts";
import { multiLabelScore } from "../multi-label-score.ts";
import { defaultSeeds, exposurePlan, type TrainingDraw, trainingDraw } from "../training-draw.ts";

const methods = ["contrastive", "head"] as const;
const checkpointMinutes = 1;

/**
 * The score after tuning on all training images or a few a class: further contrastive training with class names as texts
 * (Florence §3.3), or a classifier head and the image tower. The tuned model is not kept; `florence tune` makes one.
 */
export const fineTuned: EvaluationTask = {
  name: "fine-tune",
  summary: "the score after tuning, on all training images or --shots a class",
  options: [
    ...(["split", "metric", "shots", "seeds", "prompts"] as const),
    ...(["method", "epochs", "batch", "learningRate", "augment", "headStart", "optimizer", "matrixRate"] as const),
  ],

  plan(context) {
    const { set, parts, options } = context;
    const split = options.split ?? "test";
    labelledImages(context, imagesOfSplit(set, parts, split));
    const metric = chosenMetric(set, options.metric);
    return exposurePlan(context, { split, learnsFromVal: false }).map(({ seed, protocol }) => {
      const recipe = recipeOf(context, protocol.shots as Exposure, 0, 2);
      const common = {
        images: splitOrigin(parts, split),
        ...promptProtocol(options),
        // Where names are given they are trained on, too; scores from before that have a key without this.
        ...(options.prompts?.names && learnsNames(recipe) && { trainedNames: "as scored" }),
        method: recipe.method,
        ...(recipe.method === "head" && { headStart: recipe.headStart }),
        epochs: recipe.epochs,
        batch: options.batch ?? defaultBatch,
        learningRate: recipe.learningRate,
        augment: recipe.augment,
        // Named where it is not what tunings had before there was a choice: a score keeps its place in the ledger.
        ...(recipe.optimizer === "muon" && { optimizer: recipe.optimizer, matrixRate: recipe.matrixRateScale }),
      };
      // Tuning draws its batches by seed even where the images are all there are.
      const ownSeed = seed ?? (options.seeds ?? defaultSeeds)[0];
      return { task: fineTuned.name, metric, seed: ownSeed, split, protocol: { ...common, ...protocol } };
    });
  },

  async *run(context, asked) {
    for (const planned of asked) yield [planned, await tuneAndScore(context, planned)] as const;
  },
};

const defaultBatch = 64;

/** Passes over the training images: of a few, as many as Florence §3.4 makes; of all, as `florence tune` does. */
const defaultEpochs = (exposure: Exposure): number => (exposure === "full" ? 10 : 100);

/** Augmentation and rates as `florence tune` has them; a batch never larger than the images. */
function recipeOf(
  { options, set }: EvaluationContext,
  exposure: Exposure,
  seed: number,
  images: number,
): FineTuneRecipe {
  const { method = "contrastive", batch = defaultBatch, learningRate, augment = "light", headStart } = options;
  const { optimizer = "adamw", matrixRate } = options;
  if (!methods.some((name) => name === method)) {
    const rule = `fine-tune: method must be ${methods.join(" or ")}`;
    throw new UserError("bad-argument", `${rule}, got "${method}". Name one.`);
  }
  if (set.isMultiLabel && method === "contrastive") {
    throw new UserError("unsupported", "fine-tune: several labels an image need a head. Use --method head.");
  }
  if (headStart !== undefined && method !== "head") {
    const rule = "fine-tune: --head-start needs --method head";
    throw new UserError("bad-argument", `${rule}, got ${method}. Leave it out.`);
  }
  return fineTuneRecipe({
    method: method as (typeof methods)[number],
    seed,
    epochs: options.epochs ?? defaultEpochs(exposure),
    batch: Math.max(2, Math.min(batch, images)),
    ...(learningRate !== undefined && { learningRate }),
    augment: augment as FineTuneRecipe["augment"],
    optimizer: optimizer as FineTuneRecipe["optimizer"],
    ...(matrixRate !== undefined && { matrixRateScale: matrixRate }),
    ...(headStart !== undefined && { headStart: headStart as FineTuneRecipe["headStart"] }),
    templates: [...chosenPrompts(options).templates],
  });
}

async function tuneAndScore(context: EvaluationContext, planned: PlannedScore): Promise<Score> {
  const { set, model, imageSize, cacheFolder, signal, onProgress } = context;
  const exposure = planned.protocol.shots as Exposure;
  const draw = trainingDraw(context, exposure, planned.seed, planned.split);
  for (const note of draw.notes) context.onWarning?.(`${set.name}: ${note}`);
  const folder = await context.modelFolder();
  const checkpoint = await readCheckpoint(folder, { imageSize });
  const data = { fingerprint: set.fingerprint, split: planned.split };
  const key = entryKey({ ...planned, model: { fingerprint: model.fingerprint }, data });
  const runDir = join(cacheFolder, "evaluation-runs", key.slice(0, 24)); // a killed run goes on from its checkpoints
  const started = performance.now();
  const result = await tune({
    recipe: recipeOf(context, exposure, planned.seed ?? 0, draw.train.length),
    checkpoint,
    ...drawnSet(context, draw, key),
    name: `${model.name}-tuned`,
    base: model.name,
    fingerprint: model.fingerprint,
    tokenizer: await readTokenizerSource(checkpoint.tokenizer, folder),
    runDir,
    cacheFolder: join(runDir, "cache"), // goes with the run; without it all pictures must fit into memory
    checkpointMinutes,
    ...(signal && { signal }),
    ...(context.onWarning && { onWarning: context.onWarning }),
    onStep: ({ step, totalSteps }) => onProgress?.(`tune, ${exposure} shots`, step, totalSteps, "steps"),
  });
  signal?.throwIfAborted();
  if (!result) throw new UserError("cancelled", "fine-tune: stopped. The same command goes on.");
  const seconds = (performance.now() - started) / 1000;
  const tuned = await loadModel(result.folders.model);
  try {
    const score = await scoreTuned(context, planned, tuned, await readClassifier(result.folders.model), runDir);
    const notes = [...(score.details?.notes ?? []), ...draw.notes];
    return {
      ...score,
      metrics: { ...score.metrics, "training images": draw.train.length, "tuning seconds": Math.round(seconds) },
      details: { ...score.details, ...(notes.length > 0 && { notes }) },
    };
  } finally {
    await tuned.dispose();
    await rm(runDir, { recursive: true, force: true });
  }
}

/** Whether the names of the classes are what is learnt or started from. */
function learnsNames({ method, headStart }: FineTuneRecipe): boolean {
  return method === "contrastive" || headStart === "zero-shot";
}

/** The set as the tuning sees it: the draw alone, under the names it is scored by and a fingerprint of its own. */
export function drawnSet(
  { set, options }: EvaluationContext,
  { train, val }: TrainingDraw,
  key: string,
): { set: LabelledSet; parts: TuningParts } {
  // Without validation images tuning would hold out training images, and k shots were fewer.
  const validation = val.length > 0 ? val : train;
  const { names } = chosenPrompts(options);
  return {
    set: {
      ...set,
      classes: names ? oneNameEach(names) : set.classes,
      splits: new Map([["train", train] as const, ["val", validation] as const]),
      fingerprint: createHash("sha256").update(`${set.fingerprint} ${key}`).digest("hex"),
    },
    // As they are: the validation images of a draw are not what is scored.
    parts: { train, val: validation, test: [], division: "own", heldOut: 0 },
  };
}

/** The first name of each class that no class before it has. */
export function oneNameEach(names: readonly (readonly string[])[]): string[] {
  const taken = new Set<string>();
  return names.map((group) => {
    const name = group.find((one) => !taken.has(one)) ?? group[0];
    taken.add(name);
    return name;
  });
}

async function scoreTuned(
  context: EvaluationContext,
  { metric, split }: PlannedScore,
  tuned: FlorenceModel,
  classifier: ClassifierFile | undefined,
  runDir: string,
): Promise<Score> {
  const { set, parts } = context;
  const classes = set.classes.length;
  // Embeddings of a model that is thrown away do not belong into the lasting cache.
  const own = { ...context, model: tuned, cacheFolder: join(runDir, "cache") };
  const chosen = labelledImages({ set }, imagesOfSplit(set, parts, split));
  const found = await imageRows(own, chosen, classifier?.input.kind === "pooled" ? "features" : "embedding");
  const { images, failed } = found;
  const logits = classifier
    ? classifierLogits(found, classifier)
    : classLogits(found.rows, found.dim, {
        weight: (await classWeights(own)).map((value) => value * tuned.logitScale),
      });
  if (metric === "map-11") return multiLabelScore(context, logits, images, failed);
  const labels = Int32Array.from(images, (image) => image.labels[0]);
  const judgement = await judge(logits, labels, classes, classifier ? undefined : tuned.scoring);
  return classificationScore(context, metric as "top-1" | "mean-per-class", judgement, { images, failed });
}

async function* classifierLogits({ rows }: ImageRows, { weights, input }: ClassifierFile): AsyncGenerator<LogitBlock> {
  const [weight, bias] = [weights.get("weight") as Float32Array, weights.get("bias") as Float32Array];
  yield { start: 0, logits: headLogits(rows, weight, bias, input) };
}
