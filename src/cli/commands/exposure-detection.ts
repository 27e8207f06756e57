import { extname, resolve } from "node:path";
import sharp from "sharp";
import { UserError } from "../../core/errors.ts";
import { detectionExposure } from "../../evaluation/detection-exposure.ts";
import { type Exposure, exposureCharts } from "../../evaluation/exposure-curves.ts";
import { Ledger } from "../../evaluation/ledger.ts";
import type { LedgerEntry } from "../../evaluation/ledger-entry.ts";
import { exposureCurveSvg } from "../../evaluation/report/exposure-curve.ts";
import { exposureVerdict } from "../../evaluation/report/exposure-section.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";
import {
  addJsonOption,
  defineCommand,
  integerBetween,
  type JsonOption,
  numberBetween,
  wholeNumbersFrom,
} from "../command.ts";
import {
  addRecipeOptions,
  addStartOptions,
  type DetectionRecipeOptions,
  recipeFrom,
  type StartOptions,
  startingDetector,
} from "../detection-recipe-options.ts";
import { openDetectorFor, openReportedSet, tuningStart } from "../detection-session.ts";
import { defaultLedger, exposuresFrom } from "../evaluation-session.ts";
import { percent } from "../evaluation-table.ts";
import { exitCodes } from "../exit-codes.ts";

interface ExposureDetectionOptions extends JsonOption, DetectionRecipeOptions, StartOptions {
  readonly split: string;
  readonly shots: readonly Exposure[];
  readonly shotSteps: number;
  readonly shotEpochs: number;
  readonly seeds: readonly number[];
  readonly ledger: string;
  readonly runs: string;
  readonly plot?: string;
  readonly force?: boolean;
  readonly strict?: boolean;
}

/** `florence exposure detection`: AP by how many pictures a detector was tuned on. */
export const exposureDetectionCommand = defineCommand<[string], ExposureDetectionOptions>({
  name: "exposure-detection",
  summary: "A detector's AP from zero-shot to all pictures (also: florence exposure detection)",
  details:
    "Tunes a detector on k pictures a class (the three subsets that ODinW draws with seeds 3, 30 and 300) and on all, " +
    "and scores each on the test part; zero-shot needs a detector to start from. Scores go into the ledger; an interrupted run goes on.",
  examples: [
    { line: "florence exposure detection boxes/ --plot curve.png", does: "0, 1, 3, 5, 10 and all" },
    { line: "florence exposure detection boxes/ --shots 1,full --seeds 3 --json", does: "two points of the curve" },
  ],
  configure(command) {
    command.argument("<data>", "a set of pictures with boxes");
    addStartOptions(command);
    command.option("--split <name>", "train, val or test", "test");
    command.option("--shots <list>", "pictures a class, 0 for none, full for all", exposuresFrom(0), allShots);
    command.option("--shot-epochs <n>", "passes of a few-shot tuning over its pictures", numberBetween(0, 10_000), 40);
    command.option("--shot-steps <n>", "its updates at least", integerBetween(1, 1e6), 100);
    command.option("--seeds <list>", "of the subsets", wholeNumbersFrom(0), [3, 30, 300]);
    addRecipeOptions(command);
    command.option("--ledger <file>", "where scores are kept, one JSON object a line", defaultLedger);
    command.option("--runs <folder>", "where unfinished trainings are kept", "florence-exposure");
    command.option("--plot <file>", "draw the curve into a .svg or .png file");
    command.option("--force", "compute again what the ledger has");
    command.option("--strict", "refuse a set with annotations that cannot be used");
    addJsonOption(command);
  },

  async run(context, [path], options) {
    const set = await openReportedSet(context, path, options.strict ?? false);
    const start = await tuningStart(context, options, set.classes);
    const { shotSteps, shotEpochs, batch } = options;
    const stepsOn = (pictures: number): number => Math.max(shotSteps, Math.ceil((shotEpochs * pictures) / batch));
    const detector = startingDetector(options);
    const zeroShot =
      options.shots.includes(0) && detector !== undefined
        ? await openDetectorFor(context, { detector, model: options.model }, set.classes)
        : undefined;
    if (options.shots.includes(0) && !zeroShot) context.log("No zero-shot score: it needs a detector.");
    const entries: LedgerEntry[] = [];
    const progress = { label: "", shown: context.progress("") };
    const show = (label: string, done: number, total: number, unit: string): void => {
      if (label !== progress.label) {
        progress.shown.stop();
        progress.label = label;
        progress.shown = context.progress(label, total, unit);
      }
      progress.shown.update(done);
    };
    try {
      const scores = detectionExposure({
        ...{ set, start, split: options.split, shots: options.shots, seeds: options.seeds },
        ...(zeroShot ? { zeroShot: { detector: zeroShot.finds, protocol: zeroShot.protocol } } : {}),
        recipeOf: (exposure, seed, pictures) =>
          recipeFrom(exposure === "full" ? options : { ...options, steps: stepsOn(pictures) }, {
            ...{ pictures, start, seed },
          }),
        ledger: await Ledger.open(options.ledger),
        runDir: resolve(options.runs),
        cacheFolder: context.cacheFolder,
        ...(options.force ? { force: true } : {}),
        signal: context.signal,
        onProgress: show,
        onStep: (label, { step, totalSteps }) => show(label, step, totalSteps, "steps"),
      });
      for await (const entry of scores) {
        progress.shown.stop();
        progress.label = "";
        entries.push(entry);
        await context.print(options.json ? JSON.stringify(entry) : lineOf(entry));
      }
    } finally {
      progress.shown.stop();
      await zeroShot?.dispose();
    }
    const [chart] = exposureCharts(entries);
    if (chart) for (const { text } of exposureVerdict(chart)) context.log(text);
    if (options.plot !== undefined) await writePlot(options.plot, chart);
    return set.problems.some(({ action }) => action !== "noted") ? exitCodes.someFailed : exitCodes.ok;
  },
});

const allShots: readonly Exposure[] = [0, 1, 3, 5, 10, "full"];

function lineOf({ protocol, seed, score, metrics, chance }: LedgerEntry): string {
  const shots = protocol.shots === 0 ? "zero-shot" : `${String(protocol.shots)} shots`;
  const ofSeed = seed === null ? "" : `, seed ${seed}`;
  return `${shots}${ofSeed}: AP ${percent(score)}, AP50 ${percent(metrics.ap50 ?? 0)} (random boxes ${percent(chance)})`;
}

async function writePlot(path: string, chart: ReturnType<typeof exposureCharts>[number] | undefined): Promise<void> {
  const ending = extname(path);
  if (ending !== ".svg" && ending !== ".png") {
    throw new UserError("bad-argument", `--plot: must end in .svg or .png, got ${path}. Rename it.`);
  }
  if (!chart) throw new UserError("bad-argument", "--plot: needs scores at two exposures, got one. Give more --shots.");
  const { text } = exposureCurveSvg(chart);
  await writeFileAtomic(
    path,
    ending === ".svg" ? text : await sharp(Buffer.from(text), { density: 144 }).png().toBuffer(),
  );
}
