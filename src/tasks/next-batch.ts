/**
 * Batches by step, of which the next can be made ahead, while the last is computed in other threads. What makes them must
 * be a pure function of the step; an error in it is thrown when its step comes.
 */
export class NextBatch<Batch> {
  readonly #make: (step: number) => Batch | Promise<Batch>;
  #ahead: { readonly step: number; readonly batch: Promise<Batch> } | undefined;

  constructor(make: (step: number) => Batch | Promise<Batch>) {
    this.#make = make;
  }

  async take(step: number): Promise<Batch> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead?.step === step ? ahead.batch : this.#make(step);
  }

  /** Makes a step's batch now, in this thread. */
  prepare(step: number): void {
    const batch = (async () => this.#make(step))();
    batch.catch(() => undefined); // `take` has it
    this.#ahead = { step, batch };
  }
}
