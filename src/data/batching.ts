import { ShapeError, UserError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import type { ShardRow } from "./shard-format.ts";

/** One set of a training mix. */
export interface BatchSource {
  readonly name: string; // names the set's random stream: renaming it changes the order of its rows
  readonly rows: readonly ShardRow[];
  readonly perBatch: number; // rows of every batch that come from this set
  /** Share of the draws from weighted texts that take a row's first text, its own name, whatever the weights. 0 */
  readonly ownNameShare?: number;
}

/** One place of a batch. */
export interface BatchEntry {
  readonly source: number; // index into the sources
  readonly row: number; // index into the source's rows
  readonly text: number; // index into the row's texts
  readonly seed: number; // of this view's augmentation, [0, 2³²)
}

/**
 * Splits a batch by weights into whole counts that add up to it (largest remainders; ties go to the earlier set).
 *
 * @param weights    any positive scale; a set of weight 0 gets nothing
 * @param batchSize  rows a batch
 */
export function countsFromWeights(weights: readonly number[], batchSize: number): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0) || weights.some((weight) => !(weight >= 0))) {
    throw new ShapeError(`countsFromWeights: weights must be ≥ 0 with a positive sum, got [${weights}]`);
  }
  const shares = weights.map((weight) => (weight / total) * batchSize);
  const counts = shares.map(Math.floor);
  const missing = batchSize - counts.reduce((sum, count) => sum + count, 0);
  const byRemainder = shares
    .map((share, i) => ({ i, rest: share - counts[i] }))
    .sort((a, b) => b.rest - a.rest || a.i - b.i);
  for (const { i } of byRemainder.slice(0, missing)) counts[i]++;
  return counts;
}

/**
 * Which rows, texts and augmentations every training step sees, as a pure function of (seed, step): a resumed run asks
 * for its next step and gets what an unbroken run would have. Each set goes through its own endless row of seeded
 * permutations, so that every row is seen once an epoch whatever the mix.
 */
export class BatchComposer {
  readonly sources: readonly BatchSource[];
  readonly batchSize: number;
  readonly #streams: readonly SourceStream[];

  /** @throws UserError if a set is empty or has a row without a text; ShapeError if a count is no whole number */
  constructor(sources: readonly BatchSource[], seed: number | string) {
    this.sources = sources.filter((source) => source.perBatch !== 0);
    this.batchSize = this.sources.reduce((sum, source) => sum + source.perBatch, 0);
    if (this.batchSize === 0)
      throw new ShapeError("BatchComposer: a batch must have rows, got no set with perBatch > 0");
    const names = new Set(this.sources.map((source) => source.name));
    if (names.size !== this.sources.length) {
      throw new ShapeError(`BatchComposer: set names must differ, got ${this.sources.map((source) => source.name)}`);
    }
    const root = new Rng(seed);
    this.#streams = this.sources.map((source) => new SourceStream(source, root.fork(source.name)));
  }

  /** The entries of step `step` (0, 1, …): set by set, in the order of the sources. */
  batchAt(step: number): BatchEntry[] {
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new ShapeError(`BatchComposer.batchAt: step must be a whole number ≥ 0, got ${step}`);
    }
    const entries: BatchEntry[] = [];
    for (const [index, stream] of this.#streams.entries()) {
      const { perBatch } = this.sources[index];
      for (let i = 0; i < perBatch; i++) entries.push(stream.entryAt(step * perBatch + i, index));
    }
    return entries;
  }

  /** How many times each set has been seen when `step` steps are done, by name. */
  epochsAt(step: number): Record<string, number> {
    return Object.fromEntries(this.sources.map(({ name, rows, perBatch }) => [name, (step * perBatch) / rows.length]));
  }
}

/** The endless sequence of one set's entries. */
class SourceStream {
  readonly #rows: readonly ShardRow[];
  readonly #rng: Rng; // never advanced: only forked
  readonly #ownNameShare: number;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array(0);

  constructor({ name, rows, perBatch, ownNameShare = 0 }: BatchSource, rng: Rng) {
    if (!Number.isInteger(perBatch) || perBatch < 0) {
      throw new ShapeError(`BatchComposer: perBatch of "${name}" must be a whole number, got ${perBatch}`);
    }
    if (rows.length === 0) throw new UserError("empty", `Set "${name}": must have rows, got none. Leave it out.`);
    const silent = rows.find((row) => row.texts.length === 0);
    if (silent) {
      throw new UserError("bad-argument", `Set "${name}": every row must have a text, got none for "${silent.key}".`);
    }
    this.#rows = rows;
    this.#rng = rng;
    this.#ownNameShare = ownNameShare;
  }

  entryAt(position: number, source: number): BatchEntry {
    const epoch = Math.floor(position / this.#rows.length);
    if (epoch !== this.#epoch) {
      this.#order = this.#rng.fork(epoch).permutation(this.#rows.length);
      this.#epoch = epoch;
    }
    const row = this.#order[position % this.#rows.length];
    const rng = this.#rng.fork(`view ${position}`);
    const text = drawText(this.#rows[row], rng, this.#ownNameShare);
    return { source, row, text, seed: rng.uint32() };
  }
}

/** An index into the row's texts: the first in a share of all draws, else by weight. Texts without weights are equals. */
function drawText({ texts, weights }: ShardRow, rng: Rng, ownNameShare: number): number {
  if (!weights) return rng.int(texts.length);
  if (ownNameShare > 0 && rng.uniform() < ownNameShare) return 0;
  let rest = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    last = i;
    rest -= weights[i];
    if (rest < 0) return i;
  }
  return last; // the sum was rounded up
}
