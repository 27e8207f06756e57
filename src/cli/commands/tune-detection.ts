import { writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import sharp from "sharp";
import type { DetectionSet } from "../../data/detection/detection-set.ts";
import { fewShotSubset } from "../../data/detection/few-shot.ts";
import type { DetectionPictures } from "../../data/detection/picture-store.ts";
import { decode } from "../../evaluation/detection-exposure.ts";
import { drawDetections } from "../../evaluation/detection-score.ts";
import { withFolder } from "../../io/folder-lock.ts";
import { startProgress } from "../../io/progress.ts";
import type { DetectionRecipe } from "../../tasks/detection/detection-recipe.ts";
import { PictureDetector } from "../../tasks/detection/picture-detector.ts";
import {
  type DetectedPicture,
  type DetectionScores,
  detectSet,
  randomDetections,
  scoreDetections,
} from "../../tasks/detection/score-detections.ts";
import {
  openTrainingPictures,
  type TunedDetector,
  type TuningStart,
  tuneDetector,
  tunedFolder,
} from "../../training/detection-tuning.ts";
import { saveTunedDetector } from "../../training/save-tuned-detector.ts";
import { addJsonOption, defineCommand, integerBetween, type JsonOption, numberBetween } from "../command.ts";
import type { CommandContext } from "../context.ts";
import {
  addRecipeOptions,
  addStartOptions,
  type DetectionRecipeOptions,
  recipeFrom,
  type StartOptions,
} from "../detection-recipe-options.ts";
import { openReportedSet, tuningStart } from "../detection-session.ts";
import { exitCodes } from "../exit-codes.ts";

interface TuneDetectionOptions extends JsonOption, DetectionRecipeOptions, StartOptions {
  readonly out: string;
  readonly name?: string;
  readonly shots?: number;
  readonly seed: number;
  readonly strict?: boolean;
  readonly checkpointMinutes: number;
}

/** `florence tune detection`: a detector of the user's own objects. */
export const tuneDetectionCommand = defineCommand<[string], TuneDetectionOptions>({
  name: "tune-detection",
  summary: "Tune a detector on your pictures with boxes (also: florence tune detection)",
  details:
    "Trains a detector on a set of boxes (COCO, YOLO or Pascal VOC, Roboflow's exports as they are). It starts from " +
    "the bundled detector, another one, or the image encoder of a model. The finished detector is in model/ of the output folder, " +
    "with its card, the loss curve and predictions drawn on test pictures. The last weights are kept, or their moving " +
    "average with --average: no score chooses. Started again with the same --out, it goes on from the last checkpoint; " +
    "Ctrl+C saves one and stops. Annotations that cannot be used are named with file and id, and left out.",
  examples: [
    { line: "florence tune detection boxes/ --out runs/boxes", does: "from the bundled detector" },
    {
      line: "florence tune detection boxes/ --shots 5 --seed 3 --steps 100 --out runs/five",
      does: "from a detector, on five pictures a class drawn as ODinW does",
    },
    {
      line: "florence tune detection boxes/ --freeze encoder --epochs 20 --strict --out runs/boxes",
      does: "the encoder stays as it is; a fault in the annotations ends it",
    },
  ],
  configure(command) {
    command.argument("<data>", "a set of pictures with boxes");
    command.requiredOption("-o, --out <folder>", "where checkpoints, logs and the finished detector go");
    addStartOptions(command);
    command.option("--name <name>", "of the tuned detector (default: that of the output folder)");
    command.option("--shots <k>", "train on k pictures a class (ODinW's subsets)", integerBetween(1, 1e6));
    command.option("--seed <n>", "of subset, order and augmentation", integerBetween(0, 2 ** 31), 3);
    addRecipeOptions(command);
    command.option("--strict", "refuse a set with annotations that cannot be used");
    command.option("--checkpoint-minutes <n>", "minutes between checkpoints", numberBetween(0, 1440), 3);
    addJsonOption(command);
  },

  async run(context, [path], options) {
    const set = await openReportedSet(context, path, options.strict ?? false);
    const start = await tuningStart(context, options, set.classes);
    return withFolder(resolve(options.out), () => tuneOn(context, set, start, options));
  },
});

/** Tunes, scores and saves, in the output folder that is this run's alone. */
async function tuneOn(
  context: CommandContext,
  set: DetectionSet,
  start: TuningStart,
  options: TuneDetectionOptions,
): Promise<number> {
  const train = set.splits.get("train") ?? [];
  const subset = options.shots === undefined ? train : fewShotSubset(train, options.shots, options.seed);
  const recipe = recipeFrom(options, { pictures: subset.length, start, seed: options.seed });
  const runDir = resolve(options.out);
  const name = options.name ?? basename(runDir);
  const pictures = await openPictures(context, set, subset, recipe);
  try {
    for (const failure of pictures.failures) context.log(failure.error.message);
    const tuned = await trainShown(context, { set, pictures, start, recipe, runDir, name, options });
    if (!tuned.finished) {
      context.log(`Stopped; a checkpoint is in ${options.out}. Run the same command to go on.`);
      return exitCodes.interrupted;
    }
    const scored = await scoreSplits(context, set, tuned, recipe);
    const { test, val } = scored;
    const shotsText = options.shots === undefined ? "all" : `${options.shots} a class, seed ${options.seed}`;
    await saveTunedDetector(tunedFolder(runDir), {
      ...{ name, set, start, recipe, tuned, runDir },
      subset: shotsText,
      pictures: pictures.count,
      failed: pictures.failures.length,
      scores: { ...(val && { val: val.scores }), ...(test && { test: test.scores }) },
      ...(await sheetOf(set, (test ?? val)?.pictures ?? [])),
    });
    await report(context, options, runDir, scored);
    return set.problems.some(({ action }) => action !== "noted") || pictures.failures.length > 0
      ? exitCodes.someFailed
      : exitCodes.ok;
  } finally {
    pictures.close();
  }
}

async function openPictures(
  context: CommandContext,
  set: DetectionSet,
  subset: NonNullable<ReturnType<DetectionSet["splits"]["get"]>>,
  recipe: DetectionRecipe,
): Promise<DetectionPictures> {
  const progress = context.progress("reading", subset.length);
  const { cacheFolder, signal } = context;
  const onProgress = (done: number): void => progress.update(done);
  return openTrainingPictures(set, subset, recipe.side, { cacheFolder, signal, onProgress }).finally(() =>
    progress.stop(),
  );
}

interface ShownTraining {
  readonly set: DetectionSet;
  readonly pictures: DetectionPictures;
  readonly start: TuningStart;
  readonly recipe: DetectionRecipe;
  readonly runDir: string;
  readonly name: string;
  readonly options: TuneDetectionOptions;
}

/** Trains with a progress line on stderr, and a line of JSON a step on stdout if asked for. */
async function trainShown(
  context: CommandContext,
  { set, pictures, start, recipe, runDir, name, options }: ShownTraining,
): Promise<TunedDetector> {
  let shown: ReturnType<typeof startProgress> | undefined;
  try {
    return await tuneDetector({
      ...{ name, set, pictures, start, recipe, runDir },
      subset: options.shots === undefined ? "full" : `${options.shots}:${options.seed}`,
      checkpointMinutes: options.checkpointMinutes,
      signal: context.signal,
      onSkip: (folder, reason) => context.log(`skipped the damaged checkpoint ${folder}: ${reason}`),
      onWarning: context.log,
      onStep: async (step) => {
        const progress = { label: "tuning", unit: "steps", total: step.totalSteps, start: step.step - 1 };
        shown ??= startProgress({ ...progress, environment: context.environment });
        shown.update(step.step, {
          loss: step.loss.toFixed(3),
          boxes: step.boxes.toFixed(3),
          "pictures/s": step.samplesPerSecond.toFixed(1),
        });
        // A stopping run saves its checkpoint first; a line that cannot be printed any more must not prevent that.
        if (options.json && !context.signal.aborted) await context.print(JSON.stringify(step)).catch(() => undefined);
      },
    });
  } finally {
    shown?.stop();
  }
}

interface ScoredSplit {
  readonly scores: DetectionScores;
  readonly pictures: readonly DetectedPicture[];
  readonly randomAp: number;
}

type ScoredSplits = { readonly val?: ScoredSplit; readonly test?: ScoredSplit };

async function scoreSplits(
  context: CommandContext,
  set: DetectionSet,
  { detector, weights }: TunedDetector,
  { side }: DetectionRecipe,
): Promise<ScoredSplits> {
  const finds = new PictureDetector({ detector, weights, side, decode });
  const scored: { val?: ScoredSplit; test?: ScoredSplit } = {};
  try {
    for (const split of ["val", "test"] as const) {
      const images = set.splits.get(split);
      if (!images) continue;
      const progress = context.progress(`scoring ${split}`, images.length);
      const pictures = await detectSet(finds, set, images, {
        signal: context.signal,
        onProgress: (done) => progress.update(done),
        onFailure: ({ error }) => context.log(error.message),
      }).finally(() => progress.stop());
      const classes = set.classes.length;
      const randomAp = scoreDetections(randomDetections(images, classes, 0), classes).coco.ap;
      scored[split] = { scores: scoreDetections(pictures, classes), pictures, randomAp };
    }
    return scored;
  } finally {
    await finds.dispose();
  }
}

const sheetPictures = 12;

/** Predictions drawn on the first pictures of a split, four across. */
async function sheetOf(set: DetectionSet, pictures: readonly DetectedPicture[]): Promise<{ sheet?: Uint8Array }> {
  if (pictures.length === 0) return {};
  const [tile, across] = [320, 4];
  const shown = pictures.slice(0, sheetPictures);
  const tiles = await Promise.all(
    shown.map(async (picture, i) => ({
      input: await sharp(await drawDetections(set, picture))
        .resize(tile, tile, { fit: "contain", background: "#444" })
        .png()
        .toBuffer(),
      left: (i % across) * tile,
      top: Math.floor(i / across) * tile,
    })),
  );
  const height = Math.ceil(shown.length / across) * tile;
  const canvas = sharp({ create: { width: across * tile, height, channels: 3, background: "#444" } });
  return { sheet: await canvas.composite(tiles).jpeg({ quality: 85 }).toBuffer() };
}

async function report(
  context: CommandContext,
  { out, json }: TuneDetectionOptions,
  runDir: string,
  scored: ScoredSplits,
): Promise<void> {
  const scores = Object.fromEntries(
    Object.entries(scored).map(
      ([
        split,
        {
          scores: { coco },
          pictures,
          randomAp,
        },
      ]) => {
        const { ap, ap50, ap75 } = coco;
        return [split, { ap, ap50, ap75, randomAp, pictures: pictures.length }];
      },
    ),
  );
  await writeFile(join(runDir, "scores.json"), `${JSON.stringify(scores, null, 2)}\n`);
  if (json) return context.print(JSON.stringify({ model: tunedFolder(out), scores }));
  for (const [split, { ap, ap50, randomAp, pictures }] of Object.entries(scores)) {
    const random = `random boxes ${percent(randomAp)}`;
    await context.print(`${split}: AP ${percent(ap)}, AP50 ${percent(ap50)} (${random}; ${pictures} pictures)`);
  }
  context.log(`The detector is in ${tunedFolder(out)}.`);
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
