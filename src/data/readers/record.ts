import { UserError } from "../../core/errors.ts";
import { type FailedFile, failedFile } from "../../io/file-walk.ts";
import type { TextEncoding } from "../../io/text-files.ts";

/** One image of a dataset, not decoded yet. */
export interface DatasetRecord {
  readonly key: string; // unique within the dataset
  readonly image: string | Uint8Array; // path of a file, or its bytes
  readonly texts: readonly string[]; // captions; the label in words where there are none
  readonly label?: string; // class id or name
}

/** A row or file that could not be used. */
export type DatasetProblem = FailedFile;

export interface ReaderOptions {
  /** Told of every row left out, with the place in `path` ("table.csv:12"); without it the first problem is thrown. */
  readonly onProblem?: (problem: DatasetProblem) => void;
  readonly signal?: AbortSignal;
  /** How a table's text is encoded; UTF-8 if it is left out. */
  readonly encoding?: TextEncoding;
}

/** Reports a problem with one row or file and goes on, or throws where nobody listens. */
export function reportProblem(options: ReaderOptions, path: string, error: unknown): void {
  if (!options.onProblem) throw error;
  options.onProblem(failedFile(path, error));
}

/** A class name in words: "golden_retriever" reads "golden retriever". */
export function labelText(label: string): string {
  return label.replace(/_+/g, " ").trim();
}

/** A UserError for one row: `place: rule, got …`. */
export function rowError(place: string, finding: string): UserError {
  return new UserError("corrupt", `${place}: ${finding}. The row is left out.`);
}
