import { UserError } from "../core/errors.ts";
import type { EvaluationOptions, EvaluationTask } from "./evaluation-task.ts";
import { fewShot } from "./tasks/few-shot.ts";
import { fineTuned } from "./tasks/fine-tune.ts";
import { linearProbe } from "./tasks/linear-probe.ts";
import { retrieval } from "./tasks/retrieval.ts";
import { textProbe } from "./tasks/text-probe.ts";
import { zeroShot } from "./tasks/zero-shot.ts";

/** Every task that a model can be scored on. */
export const evaluationTasks: readonly EvaluationTask[] = [
  zeroShot,
  retrieval,
  linearProbe,
  textProbe,
  fewShot,
  fineTuned,
];

/**
 * The task of that name.
 *
 * @throws UserError (bad-argument) with the names there are
 */
export function findEvaluationTask(name: string): EvaluationTask {
  const found = evaluationTasks.find((task) => task.name === name);
  if (found) return found;
  const names = evaluationTasks.map((task) => task.name).join(", ");
  throw new UserError("bad-argument", `eval: task must be one of ${names}, got "${name}". Name one of these.`);
}

/**
 * Checks that every option given is one that the task heeds: a score that ignored what was asked for would mislead.
 *
 * @param flagOf  what users call an option
 * @throws UserError (bad-argument) naming the option
 */
export function checkOptions(
  { name, options }: EvaluationTask,
  given: EvaluationOptions,
  flagOf: (option: keyof EvaluationOptions) => string,
): void {
  for (const option of Object.keys(given) as (keyof EvaluationOptions)[]) {
    if (given[option] === undefined || options.includes(option)) continue;
    const heeded = options.map(flagOf).join(", ");
    throw new UserError("bad-argument", `eval ${name}: takes ${heeded}, got ${flagOf(option)}. Leave it out.`);
  }
}
