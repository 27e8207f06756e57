const quietMs = 2000;

/** Says on stderr what a command is at, once it has taken two seconds: short runs stay silent. */
export class PhaseLog implements Disposable {
  readonly #log: (line: string) => void;
  readonly #label: string;
  readonly #timer: NodeJS.Timeout;
  #isQuiet = true;
  #phase: string | undefined;

  constructor(log: (line: string) => void, label: string) {
    this.#log = log;
    this.#label = label;
    this.#timer = setTimeout(() => {
      this.#isQuiet = false;
      this.#write();
    }, quietMs);
    this.#timer.unref(); // it must not keep a finished command alive
  }

  /** A phase begins. */
  readonly show = (phase: string): void => {
    this.#phase = phase;
    if (!this.#isQuiet) this.#write();
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#phase = undefined;
  }

  #write(): void {
    if (this.#phase !== undefined) this.#log(`${this.#label}: ${this.#phase}`);
  }
}
