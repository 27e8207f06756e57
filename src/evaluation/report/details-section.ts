import type { EvaluationDetails, EvaluationExample } from "../evaluation-details.ts";
import type { LedgerEntry } from "../ledger-entry.ts";
import { confusionMatrixSvg, reliabilitySvg, rocSvg } from "./classification-plots.ts";
import { type Markup, type MarkupValue, markup } from "./markup.ts";
import { percent } from "./scores-table.ts";

const classesShown = 10; // best and worst each, where there are many

/** What one score is made of, folded away: confusions, calibration, classes, pictures. */
export function detailsSection(entry: LedgerEntry, details: EvaluationDetails): Markup {
  const { task, metric, model, protocol, seed, score, metrics } = entry;
  const { classes = [], confusion, confusedPairs, reliability, roc, best, worst, notes = [] } = details;
  const shots =
    typeof protocol.shots === "number" ? `, ${protocol.shots} ${protocol.shots === 1 ? "shot" : "shots"}` : "";
  const title = `${task}${shots}${seed === null ? "" : `, seed ${seed}`}: ${metric} ${percent(score)} (${model.name})`;
  return markup`<details><summary>${title}</summary>
<p class="quiet">${Object.entries(metrics).map(([name, value], i) => `${i > 0 ? " · " : ""}${name} ${number(value)}`)}</p>
${notes.map((note) => markup`<p class="note">${note}</p>`)}
<div class="plots">${[
    confusion &&
      plot(
        "Confusion: true classes down",
        confusionMatrixSvg(
          confusion,
          classes.map(({ name }) => name),
        ),
      ),
    reliability && plot("Reliability: a calibrated model lies on the diagonal", reliabilitySvg(reliability)),
    roc &&
      plot(
        `${roc.of === "pictures" ? "Pictures of the labels from others" : "Confidence tells right from wrong"}: area ${roc.area.toFixed(3)}`,
        rocSvg(roc),
      ),
  ]}</div>
${confusedPairs && confusedPairs.length > 0 && pairsTable(confusedPairs)}
${classes.length > 0 && classTable(classes)}
${worst && pictures(task === "retrieval" ? "Found worst" : "Surest mistakes", worst, "wrong")}
${best && pictures(task === "retrieval" ? "Found best" : "Surest right answers", best, "right")}
</details>`;
}

function plot(title: string, svg: Markup): Markup {
  return markup`<div><h3>${title}</h3><div class="scroll">${svg}</div></div>`;
}

function pairsTable(pairs: NonNullable<EvaluationDetails["confusedPairs"]>): Markup {
  return markup`<h3>Most often taken for each other</h3><div class="scroll"><table><thead><tr><th>true</th><th>taken for</th><th class="number">images</th></tr></thead><tbody>${pairs
    .slice(0, classesShown)
    .map(
      ({ truth, predicted, count }) =>
        markup`<tr><td>${truth}</td><td>${predicted}</td><td class="number">${count}</td></tr>`,
    )}</tbody></table></div>`;
}

function classTable(classes: NonNullable<EvaluationDetails["classes"]>): Markup {
  const sorted = classes.filter(({ n }) => n > 0).toSorted((a, b) => b.score - a.score);
  const isCut = sorted.length > 2 * classesShown;
  const rows: MarkupValue[] = (isCut ? sorted.slice(0, classesShown) : sorted).map(classRow);
  if (isCut) rows.push(markup`<tr><td colspan="3">…</td></tr>`, ...sorted.slice(-classesShown).map(classRow));
  return markup`<h3>By class, best first</h3><div class="scroll"><table><thead><tr><th>class</th><th class="number">score</th><th class="number">images</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function classRow({ name, n, score }: { readonly name: string; readonly n: number; readonly score: number }): Markup {
  return markup`<tr><td>${name}</td><td class="number">${percent(score)}</td><td class="number">${n}</td></tr>`;
}

function pictures(title: string, examples: readonly EvaluationExample[], kind: "right" | "wrong"): MarkupValue {
  if (examples.length === 0) return undefined;
  return markup`<h3>${title}</h3><div class="pictures">${examples.map(
    ({ key, jpeg, caption, answer, score }) =>
      markup`<figure title="${key}"><img alt="${caption}" src="data:image/jpeg;base64,${jpeg}"><figcaption>${caption}<br><span class="${kind}">${answer}</span> <span class="quiet">${score.toFixed(2)}</span></figcaption></figure>`,
  )}</div>`;
}

function number(value: number): string {
  return value >= 0 && value <= 1 ? percent(value) : String(Number(value.toPrecision(4)));
}
