import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { fileError } from "../io/file-errors.ts";

/** One line of a metrics file: the update count it was measured after, and named numbers (or short texts). */
export interface MetricsRecord {
  readonly step: number;
  readonly [name: string]: number | string;
}

/** Appends metrics as JSON lines. Every record is handed to the system at once, so that a killed run loses none. */
export class MetricsLog {
  readonly #path: string;
  readonly #file: number;

  private constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openSync(path, "a");
    } catch (error) {
      throw fileError(path, error);
    }
  }

  /**
   * Opens the log of a run that continues after update `resumedStep` (0 for a new run): later records and a torn last
   * line, left by the session that was killed, are dropped, so that the log becomes that of an unbroken run.
   */
  static async open(path: string, resumedStep: number): Promise<MetricsLog> {
    mkdirSync(dirname(path), { recursive: true });
    const kept = resumedStep > 0 ? (await readMetrics(path)).filter(({ step }) => step <= resumedStep) : [];
    await writeFileAtomic(path, kept.map(toLine).join(""));
    return new MetricsLog(path);
  }

  /** Appends one record. NaN and infinities, which JSON lacks, are written as texts and read back as numbers. */
  append(record: MetricsRecord): void {
    try {
      writeSync(this.#file, toLine(record));
    } catch (error) {
      throw fileError(this.#path, error);
    }
  }

  close(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }
}

/**
 * The records of a metrics file, none if it does not exist. A torn last line is left out.
 *
 * @throws UserError (corrupt) naming the line, for any other line that is no record
 */
export async function readMetrics(path: string): Promise<MetricsRecord[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw fileError(path, error);
  });
  const lines = text.split("\n");
  lines.pop(); // what follows the last line feed: nothing, or a torn line
  return lines.map((line, index) => parseLine(line, `${path}:${index + 1}`));
}

const NOT_IN_JSON = new Map([
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);

function toLine(record: MetricsRecord): string {
  const finite = (_name: string, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  return `${JSON.stringify(record, finite)}\n`;
}

function parseLine(line: string, place: string): MetricsRecord {
  try {
    const record: unknown = JSON.parse(line, (_name, value: unknown) => NOT_IN_JSON.get(value as string) ?? value);
    if (record !== null && typeof record === "object" && "step" in record && Number.isInteger(record.step)) {
      return record as MetricsRecord;
    }
  } catch {
    // reported below, like a line that is JSON but no record
  }
  const remedy = "Repair or remove that line.";
  throw new UserError("corrupt", `${place}: must be a JSON object with a "step", got ${line.slice(0, 60)}. ${remedy}`);
}
