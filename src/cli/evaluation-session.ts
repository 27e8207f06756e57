import type { Command } from "commander";
import { UserError } from "../core/errors.ts";
import type { SetNote } from "../data/labelled/entry.ts";
import { openLabelledSet } from "../data/labelled/open-labelled-set.ts";
import { evaluationParts } from "../evaluation/evaluation-parts.ts";
import type { EvaluationContext } from "../evaluation/evaluation-task.ts";
import type { Exposure } from "../evaluation/exposure-curves.ts";
import { Ledger } from "../evaluation/ledger.ts";
import { readClassPrompts } from "../evaluation/prompt-choice.ts";
import { tunedOn } from "../evaluation/tuned-on.ts";
import type { FailedFile } from "../io/file-walk.ts";
import {
  addImageSizeOption,
  addJsonOption,
  addModelOption,
  type JsonOption,
  type ModelOption,
  wholeNumbersFrom,
} from "./command.ts";
import type { CommandContext } from "./context.ts";
import type { CommandProgress } from "./progress.ts";

/** Options of the commands that score a model on a set. */
export interface SessionOptions extends ModelOption, JsonOption {
  readonly ledger: string;
  readonly imageSize?: number;
  readonly force?: boolean;
  readonly templates?: string;
  readonly prompts?: string;
  readonly classNames?: string;
}

/** An argument parser for exposures: whole numbers from `low`, and `full`, separated by commas. */
export function exposuresFrom(low: number): (text: string) => Exposure[] {
  return (text) => {
    const words = text.split(",").map((word) => word.trim());
    const numbers = words.filter((word) => word !== "full").join(",");
    const counts: Exposure[] = numbers === "" && words.includes("full") ? [] : wholeNumbersFrom(low)(numbers);
    return words.includes("full") ? [...counts, "full"] : counts;
  };
}

export const defaultLedger = "florence-ledger.jsonl";

/** Adds what every evaluation takes. */
export function addSessionOptions(command: Command): void {
  command.option("--ledger <file>", "where scores are kept, one JSON object a line", defaultLedger);
  command.option("--force", "compute again what the ledger has");
  command.option("--templates <default|none|file|clip:set>", "prompts that each class is put into");
  command.option("--prompts <file>", "prompt sets as CLIP's data/prompts.md has them, for clip:SET");
  command.option("--class-names <own|clip|file>", "names to prompt with: the set's, CLIP's, or one a line by class");
  addJsonOption(addImageSizeOption(addModelOption(command)));
}

/** An evaluation under way: a model, a set, a ledger, and what went wrong. */
export interface EvaluationSession {
  readonly context: EvaluationContext;
  readonly ledger: Ledger;
  /** How many images could not be used. */
  readonly failures: () => number;
}

/**
 * Opens what an evaluation needs, runs `work`, and frees it again. Damaged lines of the ledger, problems of the set and
 * failing images are reported on stderr, images once each.
 */
export async function withEvaluation<Result>(
  command: CommandContext,
  dataPath: string,
  options: SessionOptions,
  work: (session: EvaluationSession) => Promise<Result>,
): Promise<Result> {
  const ledger = await Ledger.open(options.ledger);
  for (const { line, message } of ledger.damaged) command.log(`${options.ledger}:${line}: passed over: ${message}`);
  const progress = new SessionProgress(command);
  const { cacheFolder, signal, log } = command;
  const set = await openLabelledSet(dataPath, {
    cacheFolder,
    signal,
    onProgress: (done, total) => progress.show("read", done, total, "pictures"),
  });
  const failed = new Set<string>();
  let model: Awaited<ReturnType<CommandContext["loadModel"]>> | undefined;
  try {
    reportProblems(set.problems, log);
    reportNotes(set.notes, log);
    const prompts = await promptsOf(options, set.classes);
    const { imageSize } = options;
    model = await command.loadModel(options.model, { imageSize, signal });
    const context: EvaluationContext = {
      model,
      modelFolder: () => command.modelFolder(options.model),
      imageSize,
      set,
      parts: evaluationParts(set),
      tunedOn: await tunedOn(await command.modelFolder(options.model), set),
      options: prompts ? { prompts } : {},
      cacheFolder,
      memory: new Map(),
      signal,
      onProgress: (label, done, total, unit) => progress.show(label, done, total, unit),
      onFailure: (failure) => {
        if (failed.has(failure.path)) return;
        failed.add(failure.path);
        log(`left out: ${describeFailure(failure)}`);
      },
      onWarning: log,
    };
    return await work({ context, ledger, failures: () => failed.size + set.problems.length });
  } finally {
    progress.stop();
    await model?.dispose();
    await set.close();
  }
}

const problemsShown = 10;

function reportProblems(problems: readonly FailedFile[], log: (line: string) => void): void {
  for (const problem of problems.slice(0, problemsShown)) log(`left out: ${describeFailure(problem)}`);
  const rest = problems.length - problemsShown;
  if (rest > 0) log(`left out: ${rest} more; \`florence data inspect\` lists them all.`);
}

/** Says what was noticed of a set as it was opened: what was taken for what, what was passed over. */
export function reportNotes(notes: readonly SetNote[], log: (line: string) => void): void {
  for (const { message } of notes.slice(0, problemsShown)) log(`note: ${message}`);
  const rest = notes.length - problemsShown;
  if (rest > 0) log(`note: ${rest} more; \`florence data inspect\` lists them all.`);
}

function describeFailure({ path, error }: FailedFile): string {
  return error.message.includes(path) ? error.message : `${path}: ${error.message}`;
}

async function promptsOf({ templates, prompts, classNames }: SessionOptions, classes: readonly string[]) {
  if (templates === undefined && classNames === undefined) {
    if (prompts === undefined) return undefined;
    throw new UserError("bad-argument", "--prompts: needs --templates clip:SET, got none. Name the set of prompts.");
  }
  return readClassPrompts({ templates: templates ?? "default", promptsFile: prompts, classNames }, classes);
}

/** One progress line at a time, whatever is being done. */
class SessionProgress {
  readonly #command: CommandContext;
  #label = "";
  #shown: CommandProgress | undefined;

  constructor(command: CommandContext) {
    this.#command = command;
  }

  show(label: string, done: number, total: number | undefined, unit: string): void {
    if (label !== this.#label) {
      this.stop();
      this.#label = label;
      this.#shown = this.#command.progress(label, total, unit);
    }
    this.#shown?.update(done);
    if (done === total) this.stop();
  }

  stop(): void {
    this.#shown?.stop();
    this.#shown = undefined;
    this.#label = "";
  }
}
