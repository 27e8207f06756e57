import { compareExposures, type ExposureChart, exposureText } from "../evaluation/exposure-curves.ts";
import type { LedgerEntry } from "../evaluation/ledger-entry.ts";
import type { CommandContext } from "./context.ts";

/** Scores as a table for humans: one line each, and what else was measured under it. */
export function scoreTable(entries: readonly LedgerEntry[], colors: CommandContext["colors"]): string[] {
  const [first] = entries;
  if (!first) return [];
  const title = `${first.data.name}, ${first.data.split}: ${first.task} of ${first.model.name}`;
  const header = ["metric", "shots", "seed", "score", "95 % interval", "chance", "n"];
  const rows = entries.map((entry) => [
    entry.metric,
    String(entry.protocol.shots ?? ""),
    String(entry.seed ?? ""),
    percent(entry.score),
    `${percent(entry.interval[0])} – ${percent(entry.interval[1])}`,
    percent(entry.chance),
    entry.failed > 0 ? `${entry.n} (${entry.failed} failed)` : String(entry.n),
  ]);
  const lines = [title, ...alignedTable(header, rows)];
  const [line, ...rest] = lines;
  const further = entries.length === 1 ? furtherMetrics(first) : [];
  return [colors.bold(line), colors.dim(rest[0]), ...rest.slice(1), ...further];
}

/** A curve as a table: a row a method, a column an exposure, the mean and half of its interval in each cell. */
export function exposureTable({ data, model, metric, chance, lines }: ExposureChart, colors: CommandContext["colors"]) {
  const exposures = [...new Set(lines.flatMap(({ points }) => points.map(({ exposure }) => exposure)))];
  exposures.sort(compareExposures);
  const rows = lines.map(({ method, points }) => [
    method,
    ...exposures.map((exposure) => {
      const point = points.find((one) => one.exposure === exposure);
      if (!point) return "";
      const { score, interval } = point.summary;
      return `${(100 * score).toFixed(1)} ± ${(50 * (interval[1] - interval[0])).toFixed(1)}`;
    }),
  ]);
  const [header, ...body] = alignedTable(["images a class", ...exposures.map(exposureText)], rows);
  const title = `${data.name}, ${data.split}: ${metric} of ${model.name} in %, 95 % intervals; chance ${percent(chance)}`;
  return [colors.bold(title), colors.dim(header), ...body];
}

/** Columns padded to their widest cell, those that are empty throughout left out; numbers stand right. */
export function alignedTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const used = header.flatMap((_, column) => (rows.some((row) => row[column] !== "") ? [column] : []));
  const widths = used.map((column) => Math.max(...[header, ...rows].map((row) => row[column].length)));
  return [header, ...rows].map((row) =>
    used
      .map((column, i) => (column === 0 ? row[column].padEnd(widths[i]) : row[column].padStart(widths[i])))
      .join("  "),
  );
}

/** 12.3 % of a share. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function furtherMetrics({ metric, metrics }: LedgerEntry): string[] {
  const others = Object.entries(metrics).filter(([name]) => name !== metric);
  return others.length > 0 ? [others.map(([name, value]) => `${name} ${metricText(value)}`).join(", ")] : [];
}

function metricText(value: number): string {
  return value >= 0 && value <= 1 ? percent(value) : String(Number(value.toPrecision(4)));
}
