import { extname } from "node:path";
import { type Command, Option } from "commander";
import sharp from "sharp";
import { UserError } from "../../core/errors.ts";
import type { EvaluationContext } from "../../evaluation/evaluation-task.ts";
import { findEvaluationTask } from "../../evaluation/evaluation-tasks.ts";
import { type Exposure, type ExposureChart, exposureCharts } from "../../evaluation/exposure-curves.ts";
import type { LedgerEntry } from "../../evaluation/ledger-entry.ts";
import { exposureCurveSvg } from "../../evaluation/report/exposure-curve.ts";
import { exposureVerdict } from "../../evaluation/report/exposure-section.ts";
import { evaluate, planScores } from "../../evaluation/run-evaluation.ts";
import { defaultSeeds } from "../../evaluation/training-draw.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";
import { defineCommand, wholeNumbersFrom } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { addEvaluatedTuning, type EvaluatedTuning, evaluatedTuning } from "../evaluated-tuning.ts";
import {
  addSessionOptions,
  type EvaluationSession,
  exposuresFrom,
  type SessionOptions,
  withEvaluation,
} from "../evaluation-session.ts";
import { exposureTable } from "../evaluation-table.ts";
import { exitCodes } from "../exit-codes.ts";
import { writeReport } from "../report-file.ts";

interface ExposureOptions extends SessionOptions, EvaluatedTuning {
  readonly shots: readonly Exposure[];
  readonly seeds: readonly number[];
  readonly methods?: string;
  readonly tuning?: string;
  readonly plot?: string;
  readonly report?: string;
}

const tuner = "fine-tune";
const learners = ["linear-probe", "text-probe", tuner];
const usualMethods = ["linear-probe", "text-probe"];

/** `florence exposure`: how a model's score on a set grows with the images of each class that it has seen. */
export const exposureCommand = defineCommand<[string], ExposureOptions>({
  name: "exposure",
  summary: "Score a model on your set from zero-shot over a few images a class to all of them",
  details: `Zero-shot, then each method at each number of training images a class, for every seed. Each score is a line of
the ledger; a run that was stopped, even killed, goes on where it was and ends with the same table.`,
  examples: [
    { line: "florence exposure photos/ --plot curve.png", does: "0, 1, 3, 5, 10 and all images a class, three seeds" },
    {
      line: "florence exposure photos/ --methods linear-probe,fine-tune --tuning head --head-start probe",
      does: "what tuning the image tower adds to a probe",
    },
    {
      line: "florence exposure photos/ --shots 0,1,5,full --methods text-probe --report report.html",
      does: "fewer steps, one method, with a page about the whole ledger",
    },
  ],
  configure(command: Command) {
    command.argument("<data>", "a labelled set: a folder of classes, a table, tars, …");
    command.option("--shots <list>", "training images a class, 0 for zero-shot, full for all", exposuresFrom(0), [
      0,
      1,
      3,
      5,
      10,
      "full",
    ] satisfies Exposure[]);
    command.option("--seeds <list>", "of the draws", wholeNumbersFrom(0), [...defaultSeeds]);
    command.option("--methods <list>", `of ${learners.join(", ")} (default: ${usualMethods.join(",")})`);
    command.addOption(
      new Option("--tuning <how>", "fine-tune: contrastive, by class names, or a classifier head").choices([
        "contrastive",
        "head",
      ]),
    );
    addEvaluatedTuning(command);
    command.option("--plot <file>", "draw the curve into a .svg or .png file");
    command.option("--report <file>", "write the HTML page about the ledger");
    addSessionOptions(command);
  },

  async run(context, [path], options) {
    const given = options.methods === undefined ? undefined : methodsOf(options.methods);
    checkTuning(given ?? usualMethods, options);
    if (options.plot !== undefined && ![".svg", ".png"].includes(extname(options.plot))) {
      throw new UserError("bad-argument", `--plot: must end in .svg or .png, got ${options.plot}. Rename it.`);
    }
    return withEvaluation(context, path, options, async (session) => {
      const methods = given ?? methodsFor(session.context, context.log);
      const entries = await runAll(context, session, methods, options);
      for (const chart of exposureCharts(entries)) await show(context, chart, options);
      if (options.plot !== undefined) await writePlot(options.plot, exposureCharts(entries));
      if (options.report !== undefined) {
        const isQuiet = { ...context, print: async (line: string) => context.log(line) }; // stdout has the scores
        await writeReport(isQuiet, options.ledger, { out: options.report });
      }
      return session.failures() > 0 ? exitCodes.someFailed : exitCodes.ok;
    });
  },
});

/** The usual methods, but for those that a set cannot have. */
function methodsFor({ set }: EvaluationContext, log: (line: string) => void): readonly string[] {
  if (!set.isMultiLabel) return usualMethods;
  log(`note: ${set.name}: has pictures of several labels; text-probe, which needs one label each, is left out.`);
  return usualMethods.filter((name) => name !== "text-probe");
}

/** Every score, the cheapest first: a run that is stopped early still has a curve. */
async function runAll(
  command: CommandContext,
  { context, ledger }: EvaluationSession,
  methods: readonly string[],
  asked: ExposureOptions,
): Promise<LedgerEntry[]> {
  const { shots, seeds, force, json } = asked;
  const learnt = shots.filter((exposure) => exposure !== 0);
  const runs = [...(shots.includes(0) ? ["zero-shot"] : []), ...(learnt.length > 0 ? methods : [])].map((name) => {
    const task = findEvaluationTask(name);
    const { prompts } = context.options;
    const options = {
      ...(task.options.includes("prompts") && prompts && { prompts }),
      ...(task.options.includes("shots") && { shots: learnt, seeds }),
      ...(name === tuner && { method: asked.tuning, ...evaluatedTuning(asked) }),
    };
    return { task, context: { ...context, options } };
  });
  for (const run of runs) planScores(run.task, run.context); // what cannot be done is refused before any work
  const entries: LedgerEntry[] = [];
  for (const run of runs) {
    for await (const { entry } of evaluate(run.task, run.context, ledger, { force })) {
      entries.push(entry);
      if (json) await command.print(JSON.stringify(entry));
    }
  }
  return entries;
}

async function show(context: CommandContext, chart: ExposureChart, { json }: ExposureOptions): Promise<void> {
  const verdict = exposureVerdict(chart).map(({ text }) => text);
  if (json) {
    const { metric, chance, lines } = chart;
    const curves = lines.map(({ method, points }) => ({
      method,
      points: points.map(({ exposure, summary: { score, interval, entries } }) => ({
        shots: exposure,
        score,
        interval,
        seeds: entries.length,
      })),
    }));
    await context.print(JSON.stringify({ exposure: { metric, chance, curves, verdict } }));
    return;
  }
  for (const line of [...exposureTable(chart, context.colors), ...verdict]) await context.print(line);
}

async function writePlot(path: string, charts: readonly ExposureChart[]): Promise<void> {
  const [chart] = charts;
  if (!chart) {
    throw new UserError("bad-argument", "--plot: needs scores at two exposures, got one. Give more --shots.");
  }
  const { text } = exposureCurveSvg(chart);
  const content = extname(path) === ".svg" ? text : await sharp(Buffer.from(text), { density: 144 }).png().toBuffer();
  await writeFileAtomic(path, content);
}

/** Settings of tuning that nothing heeds would mislead. */
function checkTuning(methods: readonly string[], options: ExposureOptions): void {
  if (methods.includes(tuner)) return;
  const given = Object.values({ ...evaluatedTuning(options), tuning: options.tuning });
  if (given.every((value) => value === undefined)) return;
  throw new UserError(
    "bad-argument",
    `exposure: options of tuning need ${tuner} among --methods, got ${methods.join(", ")}. Add it, or leave them out.`,
  );
}

function methodsOf(list: string): string[] {
  const names = list.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !learners.includes(name));
  if (unknown === undefined) return [...new Set(names)];
  throw new UserError(
    "bad-argument",
    `--methods: must be of ${learners.join(", ")}, got "${unknown}". Correct the list.`,
  );
}
