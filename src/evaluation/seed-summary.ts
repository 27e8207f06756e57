import { ShapeError } from "../core/errors.ts";
import type { Interval } from "../metrics/intervals.ts";
import type { LedgerEntry } from "./ledger-entry.ts";

/** One score over several draws of its training images. */
export interface SeedSummary {
  readonly entries: readonly LedgerEntry[]; // of equal identity but for the seed
  readonly score: number; // the mean
  readonly interval: Interval; // 95 %, over seeds and test images
  readonly chance: number;
}

/** Two-sided 95 % of Student's t with 1, 2, … degrees of freedom; the normal's beyond. */
const tQuantiles = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/**
 * Mean and interval of scores that differ by seed: half its width is the root of the squares of Student's interval over
 * the seeds and of the mean half interval of one score, which knows of the number of test images alone.
 */
export function summarizeSeeds(entries: readonly LedgerEntry[]): SeedSummary {
  const [first] = entries;
  const count = entries.length;
  if (!first) throw new ShapeError("Seeds: needs a score or more, got none.");
  if (count === 1) return { entries, score: first.score, interval: first.interval, chance: first.chance };
  const score = entries.reduce((sum, entry) => sum + entry.score, 0) / count;
  const variance = entries.reduce((sum, entry) => sum + (entry.score - score) ** 2, 0) / (count - 1);
  const overSeeds = (tQuantiles[count - 2] ?? 1.96) * Math.sqrt(variance / count);
  const overImages = entries.reduce((sum, { interval: [low, high] }) => sum + (high - low) / 2, 0) / count;
  const half = Math.hypot(overSeeds, overImages);
  return {
    entries,
    score,
    interval: [Math.max(0, score - half), Math.min(1, score + half)],
    chance: first.chance,
  };
}

/** Groups entries that differ by seed alone, in the order of their first one. */
export function groupBySeeds(entries: readonly LedgerEntry[]): SeedSummary[] {
  const groups = new Map<string, LedgerEntry[]>();
  for (const entry of entries) {
    const { task, metric, model, data, protocol } = entry;
    const fields = Object.entries(protocol).sort(([a], [b]) => (a < b ? -1 : 1));
    const key = JSON.stringify([task, metric, model.fingerprint, data.fingerprint, data.split, fields]);
    const group = groups.get(key);
    if (group) group.push(entry);
    else groups.set(key, [entry]);
  }
  return [...groups.values()].map(summarizeSeeds);
}
