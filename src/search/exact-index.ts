import { ShapeError } from "../core/errors.ts";

/** A row of the index and its score against the query. */
export interface Neighbour {
  readonly row: number;
  readonly score: number;
}

export interface NearestOptions {
  /** Rows that score below are left out. */
  readonly threshold?: number;
}

/** Exact nearest neighbours by dot product (cosine, when rows and query are L2-normalised), by one scan of all rows. */
export class ExactIndex {
  /** Number of rows. */
  readonly size: number;
  readonly embedDim: number;
  readonly #vectors: Float32Array;

  /**
   * @param vectors  [size × embedDim], row after row; kept, not copied
   * @throws ShapeError if the length is no multiple of embedDim
   */
  constructor(vectors: Float32Array, embedDim: number) {
    if (!Number.isInteger(embedDim) || embedDim < 1 || vectors.length % embedDim !== 0) {
      throw new ShapeError(`ExactIndex: length must be a multiple of embedDim, got ${vectors.length} and ${embedDim}`);
    }
    this.#vectors = vectors;
    this.embedDim = embedDim;
    this.size = vectors.length / embedDim;
  }

  /** The `count` best rows, best first; rows of equal score in order of their number. A NaN score is never returned. */
  nearest(query: Float32Array, count: number, { threshold = -Infinity }: NearestOptions = {}): Neighbour[] {
    if (query.length !== this.embedDim) {
      throw new ShapeError(`ExactIndex.nearest: query must have ${this.embedDim} numbers, got ${query.length}`);
    }
    const best = new BestRows(Math.min(count, this.size));
    if (best.capacity === 0) return [];
    let bar = threshold;
    for (let row = 0, offset = 0; row < this.size; row++, offset += this.embedDim) {
      const score = dotAt(this.#vectors, offset, query);
      // Full heap: a later row of equal score never displaces an earlier one, hence strictly greater.
      if (best.isFull ? score > bar : score >= threshold) {
        best.add(row, score);
        if (best.isFull) bar = best.lowestScore;
      }
    }
    return best.sorted();
  }
}

/** The dot product of `query` with the row that starts at `offset`. Four sums, so that additions overlap. */
function dotAt(vectors: Float32Array, offset: number, query: Float32Array): number {
  const length = query.length;
  const unrolled = length & ~7;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i < unrolled; i += 8) {
    const at = offset + i;
    a += vectors[at] * query[i] + vectors[at + 4] * query[i + 4];
    b += vectors[at + 1] * query[i + 1] + vectors[at + 5] * query[i + 5];
    c += vectors[at + 2] * query[i + 2] + vectors[at + 6] * query[i + 6];
    d += vectors[at + 3] * query[i + 3] + vectors[at + 7] * query[i + 7];
  }
  for (; i < length; i++) a += vectors[offset + i] * query[i];
  return a + b + (c + d);
}

/** A binary heap with the worst of the best rows on top. */
class BestRows {
  readonly capacity: number;
  readonly #rows: Int32Array;
  readonly #scores: Float64Array;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = Math.max(0, capacity);
    this.#rows = new Int32Array(this.capacity);
    this.#scores = new Float64Array(this.capacity);
  }

  get isFull(): boolean {
    return this.#length === this.capacity;
  }

  get lowestScore(): number {
    return this.#scores[0];
  }

  add(row: number, score: number): void {
    if (this.#length < this.capacity) {
      this.#place(this.#length, row, score);
      this.#siftUp(this.#length++);
    } else {
      this.#place(0, row, score);
      this.#siftDown();
    }
  }

  sorted(): Neighbour[] {
    const neighbours = Array.from({ length: this.#length }, (_, i) => ({ row: this.#rows[i], score: this.#scores[i] }));
    return neighbours.sort((x, y) => y.score - x.score || x.row - y.row);
  }

  #place(slot: number, row: number, score: number): void {
    this.#rows[slot] = row;
    this.#scores[slot] = score;
  }

  /** Of two equal scores, the later row is the worse. */
  #isWorse(i: number, j: number): boolean {
    if (this.#scores[i] !== this.#scores[j]) return this.#scores[i] < this.#scores[j];
    return this.#rows[i] > this.#rows[j];
  }

  #swap(i: number, j: number): void {
    const row = this.#rows[i];
    const score = this.#scores[i];
    this.#place(i, this.#rows[j], this.#scores[j]);
    this.#place(j, row, score);
  }

  #siftUp(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#isWorse(child, parent)) return;
      this.#swap(child, parent);
      child = parent;
    }
  }

  #siftDown(): void {
    let parent = 0;
    for (;;) {
      const left = 2 * parent + 1;
      if (left >= this.#length) return;
      const right = left + 1;
      const worse = right < this.#length && this.#isWorse(right, left) ? right : left;
      if (!this.#isWorse(worse, parent)) return;
      this.#swap(worse, parent);
      parent = worse;
    }
  }
}
