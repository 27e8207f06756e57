/** Every code a user-facing failure can carry. Exit codes and HTTP statuses are mapped from these in one place each. */
export type UserErrorCode =
  | "bad-argument" // a flag, option or field has a value that is not allowed
  | "not-found" // a path, model or dataset does not exist
  | "unreadable" // exists, but may not or cannot be read
  | "empty" // a file or folder has nothing in it
  | "unsupported" // a format, architecture or operator we do not know
  | "corrupt" // the bytes are not what the format promises
  | "too-large" // over a stated limit
  | "mismatch" // two artefacts that must agree do not (shape, fingerprint, checksum)
  | "busy" // another process is at work there
  | "network" // a download failed
  | "cancelled"; // stopped by the user

/** A bug of the caller: tensors or arrays whose shapes break an operator's rule. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** Bad input from outside: a file, a flag, a dataset. The message reads `Subject: rule, got value. Remedy.` */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly code: UserErrorCode;

  constructor(code: UserErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The JSON form of a failure, as printed by every command under `--json`. Unknown errors count as `corrupt`. */
export function toErrorRecord(error: unknown): { code: UserErrorCode; message: string } {
  if (error instanceof UserError) return { code: error.code, message: error.message };
  return { code: "corrupt", message: error instanceof Error ? error.message : String(error) };
}
