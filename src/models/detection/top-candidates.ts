const smallestRoom = 256;

/**
 * The best of very many scored candidates in one pass and constant memory: of equal scores the earlier one is better, as
 * in a stable sort of all of them.
 */
export class TopCandidates {
  readonly #count: number;
  #indices = new Int32Array(smallestRoom);
  #scores = new Float64Array(smallestRoom);
  #held = 0;
  #floor: number;

  /**
   * @param count  of candidates that are kept
   * @param floor  a candidate's score must be greater
   */
  constructor(count: number, floor = Number.NEGATIVE_INFINITY) {
    this.#count = Math.max(0, count);
    this.#floor = this.#count > 0 ? floor : Number.POSITIVE_INFINITY;
  }

  /** What a score must exceed to be among the best, as far as is known. It only rises. */
  get floor(): number {
    return this.#floor;
  }

  /** Candidates in rising order of `index`; those that do not exceed the floor are passed over. */
  add(index: number, score: number): void {
    if (!(score > this.#floor)) return;
    if (this.#held === this.#indices.length) {
      if (this.#held < 4 * this.#count) this.#grow();
      else this.#choose();
      if (!(score > this.#floor)) return;
    }
    this.#indices[this.#held] = index;
    this.#scores[this.#held++] = score;
  }

  /** Indices and scores of the best, best first. */
  take(): { indices: Int32Array; scores: Float64Array } {
    const [indices, scores] = [this.#indices, this.#scores];
    const order = Uint32Array.from({ length: this.#held }, (_, i) => i)
      .sort((i, j) => scores[j] - scores[i] || i - j)
      .subarray(0, this.#count);
    return { indices: Int32Array.from(order, (i) => indices[i]), scores: Float64Array.from(order, (i) => scores[i]) };
  }

  /** Room for several times as many as are kept makes it rare to choose among them. */
  #grow(): void {
    const room = Math.min(4 * this.#count, 2 * this.#indices.length);
    const [indices, scores] = [this.#indices, this.#scores];
    this.#indices = new Int32Array(room);
    this.#scores = new Float64Array(room);
    this.#indices.set(indices);
    this.#scores.set(scores);
  }

  /** Drops all but the best, in place and in order; the least of them is the new floor: a later equal one is worse. */
  #choose(): void {
    const [indices, scores] = [this.#indices, this.#scores];
    const ascending = scores.slice(0, this.#held).sort();
    const least = ascending[this.#held - this.#count];
    let better = 0;
    for (let i = this.#held - 1; i >= 0 && ascending[i] > least; i--) better++;
    let equals = this.#count - better;
    let kept = 0;
    for (let i = 0; i < this.#held; i++) {
      if (scores[i] < least || (scores[i] === least && equals-- <= 0)) continue;
      indices[kept] = indices[i];
      scores[kept++] = scores[i];
    }
    this.#held = kept;
    this.#floor = least;
  }
}
