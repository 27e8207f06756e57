import { UserError } from "../core/errors.ts";

/** The operating system's code (`ENOENT`, …) of a failed file call, or "" for any other error. */
function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** A file-system failure as a UserError that names the path; a UserError passes through. */
export function fileError(path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const code = systemCode(error);
  const options = { cause: error };
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new UserError("not-found", `${path}: must exist, got nothing there. Check the path.`, options);
  }
  if (code === "EACCES" || code === "EPERM") {
    return new UserError("unreadable", `${path}: must be accessible, got ${code}. Check its permissions.`, options);
  }
  if (code === "EISDIR") {
    return new UserError("unsupported", `${path}: must be a file, got a folder. Name a file in it.`, options);
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new UserError("unreadable", `${path}: needs free disk space, got ${code}. Free some and retry.`, options);
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new UserError(
    "unreadable",
    `${path}: must be accessible, got ${detail}. Check the file and its disk.`,
    options,
  );
}

/** As {@link fileError}, for a place that is to be written: what is missing there is the right to write. */
export function writeError(path: string, error: unknown): UserError {
  const code = systemCode(error);
  if (code !== "EACCES" && code !== "EPERM" && code !== "EROFS") return fileError(path, error);
  const remedy = "Name another folder, or change its permissions.";
  return new UserError("unreadable", `${path}: must be writable, got ${code}. ${remedy}`, { cause: error });
}
