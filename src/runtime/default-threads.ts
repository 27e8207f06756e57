import { UserError } from "../core/errors.ts";

/**
 * Threads of a session that was not told how many: `FLORENCE_THREADS`, so that several runs share a machine, or a
 * container keeps to its quota; undefined for all processors.
 *
 * @throws UserError (bad-argument) if the variable is not a number from 1 on
 */
export function defaultThreads(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const given = environment.FLORENCE_THREADS;
  if (given === undefined || given === "") return undefined;
  const threads = Number(given);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 1024) return threads;
  throw new UserError(
    "bad-argument",
    `FLORENCE_THREADS must be a whole number from 1 to 1024, got ${given}. Correct it.`,
  );
}
