import type { LedgerEntry } from "./ledger-entry.ts";
import { groupBySeeds, type SeedSummary } from "./seed-summary.ts";

/** How many training images a class a score was made with: 0, k, or all there are. */
export type Exposure = number | "full";

export interface ExposurePoint {
  readonly exposure: Exposure;
  readonly summary: SeedSummary;
}

/** The scores of one way to learn, by exposure. */
export interface ExposureLine {
  readonly method: string; // the task, and its variant if it has one
  readonly points: readonly ExposurePoint[]; // rising exposure
}

/** Scores of one model, data, split and metric by how much they saw: what Florence's Roboflow table is of a set. */
export interface ExposureChart {
  readonly model: LedgerEntry["model"];
  readonly data: LedgerEntry["data"];
  readonly metric: string;
  readonly chance: number;
  readonly lines: readonly ExposureLine[]; // zero-shot first
}

/** A step along a curve on which the score falls. */
export interface ExposureFall {
  readonly method: string;
  readonly from: ExposurePoint;
  readonly to: ExposurePoint;
  /** Whether the fall is more than both intervals allow for. */
  readonly isClear: boolean;
}

/** The exposure of a score, or undefined where that is no question, as in retrieval. */
export function exposureOf({ task, protocol }: Pick<LedgerEntry, "task" | "protocol">): Exposure | undefined {
  if (task === "zero-shot") return 0;
  const { shots } = protocol;
  if (typeof shots === "number") return shots;
  return shots === "full" ? "full" : undefined;
}

/** The charts of a ledger's entries: one a model, data, split and metric with scores at two exposures or more. */
export function exposureCharts(entries: readonly LedgerEntry[]): ExposureChart[] {
  const groups = new Map<string, LedgerEntry[]>();
  for (const entry of entries) {
    // Episodes choose their own classes, so their scores belong on no common axis with those of the whole set.
    if (exposureOf(entry) === undefined || entry.protocol.ways !== undefined) continue;
    const { model, data, metric } = entry;
    const key = JSON.stringify([model.fingerprint, data.fingerprint, data.split, metric]);
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups.values()].flatMap((group) => {
    if (new Set(group.map(exposureOf)).size < 2) return [];
    const [{ model, data, metric, chance }] = group;
    return [{ model, data, metric, chance, lines: linesOf(group) }];
  });
}

/** Every step along a line, and from zero-shot to a line's first point, on which the mean falls. */
export function fallsOf({ lines }: Pick<ExposureChart, "lines">): ExposureFall[] {
  const zeroShot = lines.find(({ points }) => points.length === 1 && points[0].exposure === 0)?.points[0];
  return lines.flatMap(({ method, points }) => {
    const path = zeroShot && points[0] !== zeroShot ? [zeroShot, ...points] : points;
    return path.slice(1).flatMap((to, i) => {
      const from = path[i];
      if (to.summary.score >= from.summary.score) return [];
      return [{ method, from, to, isClear: to.summary.interval[1] < from.summary.interval[0] }];
    });
  });
}

/** "0", "5" or "full". */
export function exposureText(exposure: Exposure): string {
  return String(exposure);
}

export function compareExposures(a: Exposure, b: Exposure): number {
  return (a === "full" ? Number.MAX_VALUE : a) - (b === "full" ? Number.MAX_VALUE : b);
}

function linesOf(entries: readonly LedgerEntry[]): ExposureLine[] {
  const methods = new Map<string, Map<Exposure, SeedSummary>>();
  for (const summary of groupBySeeds(entries)) {
    const [entry] = summary.entries;
    const exposure = exposureOf(entry) as Exposure;
    const method = methodOf(entry);
    const points = methods.get(method) ?? new Map<Exposure, SeedSummary>();
    points.set(exposure, summary); // of several protocols at one exposure the latest counts
    methods.set(method, points);
  }
  const lines = [...methods].map(([method, points]) => ({
    method,
    points: [...points]
      .map(([exposure, summary]) => ({ exposure, summary }))
      .sort((a, b) => compareExposures(a.exposure, b.exposure)),
  }));
  return lines.sort((a, b) => Number(b.method === "zero-shot") - Number(a.method === "zero-shot"));
}

function methodOf({ task, protocol }: LedgerEntry): string {
  const { method, headStart } = protocol;
  const from = typeof headStart === "string" && headStart !== "zero-shot" ? ` from ${headStart}` : "";
  return typeof method === "string" ? `${task}, ${method}${from}` : task;
}
