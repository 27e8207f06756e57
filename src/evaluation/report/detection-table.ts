import { readDetails } from "../evaluation-details.ts";
import { compareExposures, type Exposure, exposureCharts, exposureOf } from "../exposure-curves.ts";
import type { LedgerEntry } from "../ledger-entry.ts";
import { publishedDetection } from "../published-detection.data.ts";
import { exposureSection } from "./exposure-section.ts";
import { Markup, markup } from "./markup.ts";
import { pageStyle } from "./page-style.data.ts";

/** Scores of a set at one exposure over its seeds. */
export interface DetectionCell {
  readonly shots: Exposure;
  readonly seeds: number;
  readonly ap: { readonly mean: number; readonly std: number }; // std of the sample; 0 for one seed
  readonly ap50: { readonly mean: number; readonly std: number };
}

export interface DetectionRow {
  readonly set: string;
  readonly randomAp: number;
  readonly randomAp50: number;
  readonly cells: readonly DetectionCell[]; // rising exposure
  readonly published: Readonly<Record<string, number>> | undefined; // AP in percent
}

/** The table of exposures from a ledger's detection scores: one row a set. */
export function detectionRows(entries: readonly LedgerEntry[]): DetectionRow[] {
  const sets = [...new Set(entries.map(({ data }) => data.name))];
  return sets.map((set) => {
    const own = entries.filter(({ data }) => data.name === set);
    const exposures = [...new Set(own.map(exposureOf))].filter((shots) => shots !== undefined).sort(compareExposures);
    const cells = exposures.map((shots): DetectionCell => {
      const scores = own.filter((entry) => exposureOf(entry) === shots);
      return {
        shots,
        seeds: scores.length,
        ap: meanAndDeviation(scores.map(({ score }) => score)),
        ap50: meanAndDeviation(scores.map(({ metrics }) => metrics.ap50 ?? 0)),
      };
    });
    const { set: _, ...published } = publishedDetection.find((row) => row.set === set) ?? { set };
    return {
      set,
      randomAp: own[0]?.chance ?? 0,
      randomAp50: own[0]?.metrics.randomAp50 ?? 0,
      cells,
      published: Object.keys(published).length > 0 ? (published as Record<string, number>) : undefined,
    };
  });
}

function meanAndDeviation(values: readonly number[]): { mean: number; std: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((total, value) => total + (value - mean) ** 2, 0);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** One self-contained page: the table beside the published numbers, curves, and drawn pictures of each set. */
export async function detectionPage(entries: readonly LedgerEntry[], ledgerPath: string): Promise<string> {
  const rows = detectionRows(entries);
  const exposures = [...new Set(rows.flatMap(({ cells }) => cells.map(({ shots }) => shots)))].sort(compareExposures);
  const sections: Markup[] = [];
  for (const { set } of rows) {
    const own = entries.filter(({ data }) => data.name === set);
    const last = own.filter((entry) => entry.details !== undefined).at(-1);
    const details = last?.details === undefined ? undefined : await readDetails(ledgerPath, last.details);
    sections.push(markup`<section><h2>${set}</h2>
${exposureCharts(own).map(exposureSection)}
${
  details &&
  markup`<h3>${exposureName(exposureOf(last as LedgerEntry) ?? 0)}: what is wrong, best and worst pictures</h3>
${(details.notes ?? []).map((note) => markup`<p class="note">${note}</p>`)}
<div class="pictures">${[...(details.best ?? []), ...(details.worst ?? [])].map(
    ({ jpeg, caption, score }) =>
      markup`<figure><img alt="${caption}" src="data:image/jpeg;base64,${jpeg}"><figcaption>${caption}, AP50 ${score.toFixed(2)}</figcaption></figure>`,
  )}</div>`
}</section>`);
  }
  return markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Detection by exposure</title><style>${new Markup(pageStyle)}</style></head><body>
<h1>Detection by exposure</h1>
<p class="quiet">Test AP (AP50) in percent, mean ± deviation over the seeds of ODinW's subsets. Published numbers: Florence, arXiv:2111.11432, Table 7, on its authors' packaging of the sets; DyHead is Dynamic Head with Swin-L.</p>
<div class="scroll"><table><thead><tr><th>set</th><th class="number">random boxes</th>${exposures.map((shots) => markup`<th class="number">${exposureName(shots)}</th>`)}<th class="number">Florence zero-shot</th><th class="number">ZSD zero-shot</th><th class="number">DyHead 5-shot</th><th class="number">DyHead full</th></tr></thead>
<tbody>${rows.map((row) => tableRow(row, exposures))}</tbody></table></div>
${sections}</body></html>
`.text;
}

function tableRow(
  { set, randomAp, randomAp50, cells, published }: DetectionRow,
  exposures: readonly Exposure[],
): Markup {
  const ours = exposures.map((exposure) => {
    const cell = cells.find(({ shots }) => shots === exposure);
    return markup`<td class="number">${cell ? cellText(cell) : "–"}</td>`;
  });
  const theirs = ["florence", "zeroShotBaseline", "fiveShot", "full"].map(
    (name) => markup`<td class="number">${published?.[name]?.toFixed(1) ?? "–"}</td>`,
  );
  return markup`<tr><td>${set}</td><td class="number">${points(randomAp)} (${points(randomAp50)})</td>${ours}${theirs}</tr>`;
}

/** "12.3 ± 1.0 (30.1)", the AP50 in brackets. */
export function cellText({ ap, ap50, seeds }: DetectionCell): string {
  return `${points(ap.mean)}${seeds > 1 ? ` ± ${points(ap.std)}` : ""} (${points(ap50.mean)})`;
}

const points = (share: number): string => (100 * share).toFixed(1);

const exposureName = (shots: Exposure): string =>
  shots === 0 ? "zero-shot" : shots === "full" ? "full" : `${shots}-shot`;
