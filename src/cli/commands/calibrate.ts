import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { type CalibrateOptions, calibrate, type FinishedCalibration } from "../../evaluation/calibration/calibrate.ts";
import { recordCalibration } from "../../evaluation/calibration/calibration-entries.ts";
import { namedClasses, openOutsideSet } from "../../evaluation/calibration/outside-set.ts";
import { calibrationPage } from "../../evaluation/report/calibration-page.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";
import { type RejectionMethod, rejectionMethods } from "../../tasks/calibration/acceptance-score.ts";
import { backgroundsBeside } from "../../tasks/calibration/backgrounds.data.ts";
import { writeCalibration } from "../../tasks/calibration/calibration-file.ts";
import { checkLabels, checkTemplates } from "../../tasks/classification/prompts.ts";
import { calibrationJson, calibrationLines } from "../calibration-display.ts";
import {
  addJsonOption,
  addModelOption,
  defineCommand,
  integerBetween,
  type JsonOption,
  type ModelOption,
  numberBetween,
} from "../command.ts";
import type { CommandContext } from "../context.ts";
import { defaultLedger, reportNotes, withEvaluation } from "../evaluation-session.ts";
import { exitCodes } from "../exit-codes.ts";
import { addLabelOptions, type LabelOptions, linesOfFile, readLabels, readTemplates } from "../label-options.ts";

interface CalibrateCommandOptions extends LabelOptions, ModelOption, JsonOption {
  readonly out: string;
  readonly outside?: string;
  readonly outsideClasses?: string;
  readonly backgrounds?: string;
  readonly rejectBy?: RejectionMethod | "best";
  readonly acceptance: number;
  readonly pictures: number;
  readonly outsidePictures: number;
  readonly bias?: boolean;
  readonly seed: number;
  readonly report?: string;
  readonly ledger: string;
}

/** `florence calibrate`: probabilities that mean what they say, and a threshold for "none of these". */
export const calibrateCommand = defineCommand<[string], CalibrateCommandOptions>({
  name: "calibrate",
  summary:
    "Learn from a few labelled pictures what a model's probabilities are worth, and when none of your labels fits",
  details:
    "Fits a temperature on labelled pictures of your set, and measures on others how far confidence and accuracy lie " +
    "apart (expected calibration error, 15 bins). The labels are the set's classes, or those given: then pictures of its " +
    "other classes count as outside pictures. With outside pictures (--outside, or other classes) or background prompts " +
    "it learns a threshold too, below which a picture shows none of the labels; of four outside classes or more each " +
    "is either fitted on or measured on, never both. What `florence classify --calibration FILE` needs is in the file; it " +
    "holds for this model, these labels in their order, and these templates.",
  examples: [
    {
      line: "florence calibrate photos/ --out photos.calibration.json",
      does: "honest probabilities for a folder of classes",
    },
    {
      line: "florence calibrate photos/ --outside others/ --report page.html --out photos.calibration.json",
      does: "and a threshold that accepts 90 % of its pictures; a page with the curves",
    },
    {
      line: 'florence calibrate photos/ --labels "cat,dog" --backgrounds default --acceptance 0.95 --out pets.json',
      does: 'two of the classes are the labels, the others are outside; prompts such as "a fruit" beside them',
    },
    {
      line: 'florence classify inbox/ --labels "cat,dog" --calibration pets.json',
      does: "the file in use",
    },
  ],
  configure(command: Command) {
    command.argument("<data>", "a labelled set: a folder of classes, a table, tars, …");
    command.requiredOption("-o, --out <file>", "the calibration to write");
    addLabelOptions(command);
    command.option("--outside <data>", "pictures of none of the labels: a folder, or any labelled set");
    command.option("--outside-classes <file>", "only these classes of the outside set, one a line");
    command.option("--backgrounds <default|file>", "prompts for what is none of the labels, one a line");
    command.addOption(
      new Option("--reject-by <method>", "how to reject (default: best of all on the fitted pictures)").choices([
        "best",
        ...rejectionMethods,
      ]),
    );
    command.option("--acceptance <share>", "of the labels' pictures to be accepted", numberBetween(0.01, 1), 0.9);
    command.option("--pictures <n>", "pictures of the labels to fit on, at most", integerBetween(10, 1e6), 500);
    command.option("--outside-pictures <n>", "outside pictures to fit on, at most", integerBetween(5, 1e6), 500);
    command.option("--bias", "fit a bias for each label too: for labels that the model favours");
    command.option("--seed <n>", "of the draw of pictures", integerBetween(0, 2 ** 31), 0);
    command.option("--report <file>", "an HTML page with reliability diagrams, the ROC and mistakes");
    command.option("--ledger <file>", "where scores are kept, one JSON object a line", defaultLedger);
    addJsonOption(addModelOption(command));
  },

  async run(context, [path], options) {
    const given = await readLabels(options, "calibrate");
    const givenLabels = given && checkLabels(given);
    const templates = checkTemplates(await readTemplates(options.templates));
    const session = { model: options.model, ledger: options.ledger };
    return withEvaluation(context, path, session, async ({ context: opened, ledger, failures }) => {
      const started = performance.now();
      const labels = givenLabels ?? checkLabels(opened.set.classes);
      const outside = await outsideOf(context, options);
      try {
        const asked: CalibrateOptions = {
          ...{ labels, templates, seed: options.seed, acceptance: options.acceptance, withBias: options.bias ?? false },
          ...{ pictures: options.pictures, outsidePictures: options.outsidePictures },
          backgrounds: await backgroundsOf(options.backgrounds, labels),
          ...(outside && { outside }),
          ...methodOf(options, opened.set.classes.length > labels.length),
        };
        const finished = await calibrate(opened, asked);
        const { fingerprint, embedDim } = opened.model;
        await writeCalibration(options.out, finished.calibration, { fingerprint, embedDim, labels, templates });
        if (options.report !== undefined) {
          await writeFileAtomic(resolve(options.report), await calibrationPage(opened, finished, asked));
        }
        await recordCalibration(opened, ledger, finished, asked, (performance.now() - started) / 1000);
        await show(context, options, finished, asked);
        return failures() > 0 ? exitCodes.someFailed : exitCodes.ok;
      } finally {
        await outside?.set.close();
      }
    });
  },
});

async function outsideOf(
  { cacheFolder, signal, log }: CommandContext,
  { outside, outsideClasses }: CalibrateCommandOptions,
): Promise<CalibrateOptions["outside"]> {
  if (outside === undefined) return undefined;
  const set = await openOutsideSet(outside, { cacheFolder, signal });
  for (const { error } of set.problems.slice(0, 10)) log(`left out: ${error.message}`);
  reportNotes(set.notes, log);
  return {
    set,
    classes: namedClasses(set, outsideClasses === undefined ? undefined : await linesOfFile(outsideClasses)),
  };
}

async function backgroundsOf(choice: string | undefined, labels: readonly string[]): Promise<readonly string[]> {
  if (choice === undefined) return [];
  if (choice === "default") return backgroundsBeside(labels);
  const texts = (await linesOfFile(choice)).map((line) => line.trim());
  return checkLabels([...labels, ...texts]).slice(labels.length); // a background that is a label would reject it
}

/** Nothing is rejected unless something was said of what is to be rejected. */
function methodOf(
  { rejectBy, outside, backgrounds }: CalibrateCommandOptions,
  hasOthers: boolean,
): Pick<CalibrateOptions, "method"> {
  if (rejectBy !== undefined) return { method: rejectBy };
  return outside !== undefined || backgrounds !== undefined || hasOthers ? { method: "best" } : {};
}

async function show(
  context: CommandContext,
  options: CalibrateCommandOptions,
  finished: FinishedCalibration,
  asked: CalibrateOptions,
): Promise<void> {
  if (options.json) {
    await context.print(JSON.stringify(calibrationJson(resolve(options.out), finished, asked)));
    return;
  }
  for (const line of calibrationLines(finished, asked)) await context.print(line);
  context.log(`The calibration is in ${options.out}: florence classify … --calibration ${options.out}`);
  if (options.report !== undefined) context.log(`The page is ${options.report}.`);
}
