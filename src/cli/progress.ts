import { type Progress, startProgress } from "../io/progress.ts";
import type { CliHost } from "./program.ts";

/** A running count on stderr, for work of unknown or known length. */
export interface CommandProgress {
  update(done: number): void;
  /** Says how many there are, once that is known. */
  expect(total: number): void;
  stop(): void;
}

const quietMs = 2000;

/** What stderr shows: lines for humans, and under them at most one progress line. */
export class StderrDisplay {
  readonly #host: CliHost;
  #shown: Progress | undefined;

  constructor(host: CliHost) {
    this.#host = host;
  }

  /** Writes a line, above the progress if there is one. */
  log(line: string): void {
    if (this.#shown) this.#shown.note(line);
    else this.#host.stderr.write(`${line}\n`);
  }

  /**
   * Progress that appears once the work has taken two seconds: short runs stay silent. Without a `total` it stays
   * away from a terminal that the results are printed to, where it would come between them.
   */
  progress(label: string, total?: number, unit = "pictures"): CommandProgress {
    const { stdout, stderr, environment } = this.#host;
    if (stdout.isTTY && total === undefined) return { update() {}, expect() {}, stop() {} };
    let expected = total;
    const started = performance.now();
    let own: Progress | undefined;
    return {
      update: (done) => {
        if (!own && performance.now() - started >= quietMs) {
          own = startProgress({ label, total: expected, unit, start: done, stream: stderr, environment });
          this.#shown = own;
        }
        own?.update(done);
      },
      expect: (count) => {
        expected = count;
        own?.expect(count);
      },
      stop: () => {
        own?.stop();
        if (this.#shown === own) this.#shown = undefined;
      },
    };
  }
}
