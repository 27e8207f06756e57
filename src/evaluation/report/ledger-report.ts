import { toErrorRecord } from "../../core/errors.ts";
import { type EvaluationDetails, readDetails } from "../evaluation-details.ts";
import { exposureCharts } from "../exposure-curves.ts";
import { readLedger } from "../ledger.ts";
import type { LedgerEntry } from "../ledger-entry.ts";
import { groupBySeeds } from "../seed-summary.ts";
import { detailsSection } from "./details-section.ts";
import { exposureSection } from "./exposure-section.ts";
import { type Markup, Markup as MarkupText, markup } from "./markup.ts";
import { pageStyle } from "./page-style.data.ts";
import { scoresTable } from "./scores-table.ts";

export interface LedgerReport {
  readonly html: string;
  readonly scores: number; // entries shown
  readonly warnings: readonly string[]; // lines and details that could not be read
}

/**
 * One self-contained HTML page about a ledger: nothing is fetched, nothing runs. Of entries that answer the same
 * question the last one counts.
 *
 * @throws UserError if the ledger cannot be read, or (empty) has no entry
 */
export async function ledgerReport(ledgerPath: string): Promise<LedgerReport> {
  const { entries, damaged } = await readLedger(ledgerPath);
  const warnings = damaged.map(({ line, message }) => `${ledgerPath}:${line}: passed over: ${message}`);
  const latest = latestOfEach(entries);
  const details = new Map<LedgerEntry, EvaluationDetails>();
  for (const entry of latest) {
    if (entry.details === undefined) continue;
    try {
      details.set(entry, await readDetails(ledgerPath, entry.details));
    } catch (error) {
      warnings.push(toErrorRecord(error).message);
    }
  }
  return { html: page(latest, details, warnings), scores: latest.length, warnings };
}

function page(
  entries: readonly LedgerEntry[],
  details: ReadonlyMap<LedgerEntry, EvaluationDetails>,
  warnings: readonly string[],
): string {
  const sets = groupBy(entries, ({ data }) => data.fingerprint);
  const models = [...groupBy(entries, ({ model }) => model.fingerprint).values()].map(([{ model }]) => model);
  const days = entries.map(({ date }) => date.slice(0, 10)).sort();
  const content = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Evaluation report</title>
<style>${new MarkupText(pageStyle)}</style>
</head>
<body>
<h1>Evaluation report</h1>
<p>${plural(entries.length, "score")} of ${plural(models.length, "model")} on ${plural(sets.size, "data set")}${days.length > 0 && `, ${days[0]}${days[0] === days.at(-1) ? "" : ` to ${days.at(-1)}`}`}.</p>
${models.map(({ name, fingerprint }) => markup`<p class="quiet">${name}: fingerprint ${fingerprint.slice(0, 16)}</p>`)}
<p class="quiet">Intervals are 95 %; over several seeds they span draws and test images. The dotted mark in a bar is chance.</p>
${warnings.map((warning) => markup`<p class="note">${warning}</p>`)}
<nav>${[...sets.values()].map(([{ data }], i) => markup`<a href="#set-${i}">${data.name}</a>`)}</nav>
${[...sets.values()].map((group, i) => dataSection(group, details, i))}
</body>
</html>
`;
  return content.text;
}

function dataSection(
  entries: readonly LedgerEntry[],
  details: ReadonlyMap<LedgerEntry, EvaluationDetails>,
  index: number,
): Markup {
  const [{ data }] = entries;
  const summaries = groupBySeeds(entries);
  // Of several seeds the first stands for all: their pictures and confusions are much alike.
  const detailed = summaries.map((summary) => summary.entries[0]).filter((entry) => details.has(entry));
  return markup`<section id="set-${index}">
<h2>${data.name}</h2>
<p class="quiet">data ${data.fingerprint.slice(0, 16)}</p>
${scoresTable(summaries)}
${exposureCharts(entries).map(exposureSection)}
${detailed.map((entry) => detailsSection(entry, details.get(entry) as EvaluationDetails))}
</section>`;
}

function latestOfEach(entries: readonly LedgerEntry[]): LedgerEntry[] {
  return groupBySeeds(entries).flatMap(({ entries: group }) => [
    ...new Map(group.map((entry) => [entry.seed, entry])).values(),
  ]);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, [T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
