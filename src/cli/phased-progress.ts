import { type Progress, startProgress } from "../io/progress.ts";

/** A command's progress line for one phase after another, such as the stages of a training. */
export class PhasedProgress {
  readonly #environment: NonNullable<Parameters<typeof startProgress>[0]["environment"]>;
  #label = "";
  #progress: Progress | undefined;

  constructor(environment: NonNullable<Parameters<typeof startProgress>[0]["environment"]>) {
    this.#environment = environment;
  }

  /** The line of a phase; another label ends the last one's. `start` units were done before. */
  show(label: string, total: number, unit: string, start = 0): Progress {
    if (this.#progress && this.#label === label) return this.#progress;
    this.stop();
    this.#label = label;
    this.#progress = startProgress({ label, total, unit, start, environment: this.#environment });
    return this.#progress;
  }

  stop(): void {
    this.#progress?.stop();
    this.#progress = undefined;
  }
}
