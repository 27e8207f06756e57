import { type Command, Option } from "commander";
import { UserError } from "../../core/errors.ts";
import type { ClassificationMetric, EvaluationOptions } from "../../evaluation/evaluation-task.ts";
import { checkOptions, evaluationTasks, findEvaluationTask } from "../../evaluation/evaluation-tasks.ts";
import type { Exposure } from "../../evaluation/exposure-curves.ts";
import { evaluate } from "../../evaluation/run-evaluation.ts";
import { defineCommand, integerBetween, wholeNumbersFrom } from "../command.ts";
import { addEvaluatedTuning, type EvaluatedTuning, evaluatedTuning } from "../evaluated-tuning.ts";
import { addSessionOptions, exposuresFrom, type SessionOptions, withEvaluation } from "../evaluation-session.ts";
import { scoreTable } from "../evaluation-table.ts";
import { exitCodes } from "../exit-codes.ts";
import { writeReport } from "../report-file.ts";

interface EvalOptions extends SessionOptions, EvaluatedTuning {
  readonly split?: string;
  readonly metric?: ClassificationMetric;
  readonly shots?: readonly Exposure[];
  readonly seeds?: readonly number[];
  readonly ways?: number;
  readonly queries?: number;
  readonly episodes?: number;
  readonly method?: string;
  readonly out?: string;
}

const tasks = evaluationTasks.map(({ name, summary }) => `  ${name.padEnd(14)}${summary}`).join("\n");

/** `florence eval`: scores of a model on a labelled set, kept in a ledger, and the report on a ledger. */
export const evalCommand = defineCommand<[string, string], EvalOptions>({
  name: "eval",
  summary: "Score a model on your labelled or captioned set, with intervals and chance",
  details: `TASK is one of
${tasks}
  report        an HTML page about the ledger that stands in the place of DATA

Scores go into a ledger, one JSON line each. What is there already, for the same model, data and protocol, is not
computed again: an interrupted run goes on where it was. Sets without a test part have one carved out, always the same.`,
  examples: [
    { line: "florence eval zero-shot photos/", does: "how well class names alone do on a folder of classes" },
    {
      line: "florence eval zero-shot cifar10/ --templates clip:CIFAR10 --prompts prompts.md",
      does: "with the prompts that CLIP used",
    },
    {
      line: "florence eval retrieval captions.json --split last:200",
      does: "recall at 1, 5, 10 on the last 200 images",
    },
    { line: "florence eval linear-probe photos/ --shots 5 --seeds 3,30,300", does: "five images a class, three draws" },
    {
      line: "florence eval few-shot photos/ --method tune --episodes 50",
      does: "the whole image tower tuned in each of 50 episodes",
    },
    { line: "florence eval report florence-ledger.jsonl --out report.html", does: "all scores on one page" },
  ],
  configure(command: Command) {
    command.argument("<task>", "what to score, or `report`");
    command.argument("<data>", "a labelled set; for `report`, a ledger");
    command.option("--split <name>", "test (default), val, train, all, first:N or last:N");
    command.addOption(
      new Option("--metric <name>", "of classifications").choices(["top-1", "mean-per-class", "map-11"]),
    );
    command.option("--shots <list>", "training images a class, such as 1,5,full (default: full)", exposuresFrom(1));
    command.option("--seeds <list>", "of the draws (default: 3,30,300)", wholeNumbersFrom(0));
    command.option("--ways <n>", "few-shot: classes an episode (default: 5)", integerBetween(2, 1000));
    command.option(
      "--queries <n>",
      "few-shot: images a class that an episode asks for (default: 15)",
      integerBetween(1, 1000),
    );
    command.option("--episodes <n>", "few-shot (default: 600)", integerBetween(2, 100_000));
    command.option(
      "--method <name>",
      "few-shot: logistic, prototype or tune (the whole tower, every episode); fine-tune: contrastive or head",
    );
    addEvaluatedTuning(command);
    command.option("-o, --out <file>", "report: the page to write (default: report.html)");
    addSessionOptions(command);
  },

  async run(context, [taskName, path], options) {
    if (taskName === "report") return writeReport(context, path, options);
    const task = findEvaluationTask(taskName);
    if (options.out !== undefined) {
      throw new UserError("bad-argument", "eval: --out is for `report`, got it for a task. Use --ledger.");
    }
    const { split, metric, shots, seeds, ways, queries, episodes, method } = options;
    const asked: EvaluationOptions = {
      ...{ split, metric, shots, seeds, ways, queries, episodes, method },
      ...evaluatedTuning(options),
    };
    return withEvaluation(context, path, options, async ({ context: opened, ledger, failures }) => {
      const evaluation = { ...opened, options: { ...opened.options, ...asked } };
      checkOptions(task, evaluation.options, flagOf);
      const entries = [];
      for await (const { entry } of evaluate(task, evaluation, ledger, { force: options.force })) {
        entries.push(entry);
        if (options.json) await context.print(JSON.stringify(entry));
      }
      if (!options.json) for (const line of scoreTable(entries, context.colors)) await context.print(line);
      return failures() > 0 ? exitCodes.someFailed : exitCodes.ok;
    });
  },
});

function flagOf(option: keyof EvaluationOptions): string {
  return option === "prompts" ? "--templates" : `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
