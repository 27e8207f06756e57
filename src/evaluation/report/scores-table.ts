import type { LedgerEntry } from "../ledger-entry.ts";
import type { SeedSummary } from "../seed-summary.ts";
import { type Markup, markup } from "./markup.ts";

/** A table of scores: one row for those that differ by seed alone. */
export function scoresTable(summaries: readonly SeedSummary[]): Markup {
  return markup`<div class="scroll"><table class="scores">
<thead><tr><th>task</th><th class="number">shots</th><th>metric</th><th class="number">score</th><th></th><th>95 % interval</th><th class="number">chance</th><th class="number">n</th><th>model</th><th>protocol</th></tr></thead>
<tbody>${summaries.map(tableRow)}</tbody>
</table></div>`;
}

function tableRow({ entries, score, interval: [low, high], chance }: SeedSummary): Markup {
  const [entry] = entries;
  const { task, metric, model, data, n, failed } = entry;
  return markup`
<tr><td>${task}</td><td class="number">${entry.protocol.shots as string | number | undefined}</td><td>${metric}</td><td class="score">${percent(score)}</td><td>${bar(score, low, high, chance)}</td><td>${percent(low)} – ${percent(high)}</td><td class="number">${percent(chance)}</td><td class="number">${n}${failed > 0 && markup` <span class="wrong">(${failed} failed)</span>`}</td><td>${model.name}</td><td class="words">${data.split}${protocolText(entry)}${seedText(entries)}</td></tr>`;
}

/** A score on 0 … 1: the interval as an area, the score as a line, chance dotted. */
function bar(score: number, low: number, high: number, chance: number): Markup {
  const at = (share: number) => (100 * share).toFixed(1);
  return markup`<span class="bar"><i style="left:${at(low)}%;width:${at(high - low)}%"></i><b style="left:${at(score)}%"></b><u style="left:${at(chance)}%"></u></span>`;
}

function protocolText({ protocol }: LedgerEntry): string {
  return Object.entries(protocol)
    .filter(([name]) => name !== "shots") // has a column of its own
    .map(([name, value]) => `; ${name} ${Array.isArray(value) ? value.join(", ") : value}`)
    .join("");
}

function seedText(entries: readonly LedgerEntry[]): string {
  const seeds = entries.flatMap(({ seed }) => (seed === null ? [] : [seed]));
  return seeds.length === 0 ? "" : `; seed${seeds.length > 1 ? "s" : ""} ${seeds.join(", ")}`;
}

/** 12.3 % of a share. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
