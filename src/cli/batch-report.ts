import type { FailedFile } from "../io/file-walk.ts";
import type { CommandContext } from "./context.ts";
import { exitCodeOfBatch } from "./exit-codes.ts";
import type { CommandProgress } from "./progress.ts";

/** Prints the results of a batch, counts them, and knows the exit code: the same for every command over files. */
export class BatchReport {
  readonly #context: CommandContext;
  readonly #title: string;
  readonly #isJson: boolean;
  readonly #progress: CommandProgress;
  #processed = 0;
  #failed = 0;

  /** @param inputs  how many there will be, for the time that is left; may become known on the way */
  constructor(context: CommandContext, title: string, isJson: boolean, inputs?: Promise<number>) {
    this.#context = context;
    this.#title = title;
    this.#isJson = isJson;
    this.#progress = context.progress(title);
    inputs?.then((total) => this.#progress.expect(total)).catch(() => undefined); // a walk that was aborted
  }

  /** Prints a result. */
  async succeed(line: string): Promise<void> {
    this.#processed++;
    await this.#context.print(line);
    this.#progress.update(this.#processed + this.#failed);
  }

  /** Reports a failed input: a JSON object on stdout, or a line on stderr for humans. */
  async fail(failure: FailedFile): Promise<void> {
    this.#failed++;
    await reportFailure(this.#context, failure, this.#isJson);
    this.#progress.update(this.#processed + this.#failed);
  }

  /** Takes the progress display away; also right after an error. */
  stop(): void {
    this.#progress.stop();
  }

  /** Says how many failed, if any did, and returns the exit code. */
  finish(): number {
    this.stop();
    const total = this.#processed + this.#failed;
    if (total === 0) this.#context.log(`${this.#title}: found no pictures.`);
    else if (this.#failed > 0) this.#context.log(`${this.#title}: ${this.#failed} of ${total} inputs failed.`);
    return exitCodeOfBatch({ processed: this.#processed, failed: this.#failed });
  }
}

/** One clear line about a failed input, in the form the caller asked for. */
export async function reportFailure(context: CommandContext, failure: FailedFile, isJson: boolean): Promise<void> {
  if (isJson) {
    await context.print(JSON.stringify(failure));
    return;
  }
  const { path, error } = failure;
  context.log(error.message.includes(path) ? error.message : `${path}: ${error.message}`);
}
