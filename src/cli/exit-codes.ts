import { CommanderError } from "commander";
import { UserError, type UserErrorCode } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";

/** What the process answers to the shell. The one list; docs/json-lines.md repeats it for users. */
export const exitCodes = {
  ok: 0,
  internal: 1, // a bug of ours, or a failed check: of `doctor`, or of `tune --max-loss`
  usage: 2, // unknown command or option, or a value that is not allowed
  someFailed: 3, // some inputs failed, the others were processed
  nothingDone: 4, // no input could be processed, what was named does not exist, another process holds it, or stdout cannot be written
  badArtefact: 5, // a model, index or table is damaged or does not fit
  network: 6, // a download failed
  interrupted: 130, // SIGINT or SIGTERM
} as const;

const codeOfUserError: Readonly<Record<UserErrorCode, number>> = {
  "bad-argument": exitCodes.usage,
  "not-found": exitCodes.nothingDone,
  unreadable: exitCodes.nothingDone,
  empty: exitCodes.nothingDone,
  unsupported: exitCodes.badArtefact,
  corrupt: exitCodes.badArtefact,
  "too-large": exitCodes.badArtefact,
  mismatch: exitCodes.badArtefact,
  busy: exitCodes.nothingDone,
  network: exitCodes.network,
  cancelled: exitCodes.interrupted,
};

/** The reader of stdout has gone (`florence … | head`): stop quietly, nothing went wrong. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** Stdout cannot be written, such as to a full disk: what was printed is not whole. */
export class OutputFailed extends UserError {
  constructor(error: unknown) {
    super("unreadable", fileError("standard output", error).message, { cause: error });
  }
}

/** The exit code of a command that ended by throwing `error`. */
export function exitCodeOfError(error: unknown): number {
  if (error instanceof OutputClosed) return exitCodes.ok;
  if (error instanceof UserError) return codeOfUserError[error.code];
  if (error instanceof CommanderError) return isRequestedOutput(error) ? exitCodes.ok : exitCodes.usage;
  return exitCodes.internal;
}

/** The exit code of a batch: how many inputs were processed, how many failed. */
export function exitCodeOfBatch({ processed, failed }: { processed: number; failed: number }): number {
  if (processed === 0) return exitCodes.nothingDone;
  return failed === 0 ? exitCodes.ok : exitCodes.someFailed;
}

function isRequestedOutput(error: CommanderError): boolean {
  return error.code === "commander.helpDisplayed" || error.code === "commander.version";
}
