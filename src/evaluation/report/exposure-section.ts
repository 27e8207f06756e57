import { type ExposureChart, type ExposureFall, exposureText, fallsOf } from "../exposure-curves.ts";
import { exposureCurveSvg } from "./exposure-curve.ts";
import { type Markup, markup } from "./markup.ts";
import { percent } from "./scores-table.ts";

/** A curve over exposure, and in words whether it rises throughout. */
export function exposureSection(chart: ExposureChart): Markup {
  return markup`<h3>Exposure: ${chart.metric} by training images a class</h3>
<figure class="curve scroll">${exposureCurveSvg(chart)}</figure>
${exposureVerdict(chart).map(({ text, isGood }) => markup`<p class="${isGood ? "fine" : "note"}">${text}</p>`)}`;
}

/** Whether every line rises with exposure; each fall is named with both scores. */
export function exposureVerdict(
  chart: Pick<ExposureChart, "lines">,
): { readonly text: string; readonly isGood: boolean }[] {
  const falls = fallsOf(chart);
  if (falls.length === 0) {
    const hasZeroShot = chart.lines.some(({ points }) => points.some(({ exposure }) => exposure === 0));
    const since = hasZeroShot ? ", from zero-shot on" : "; zero-shot was not measured";
    return [{ text: `Every curve rises with exposure${since}.`, isGood: true }];
  }
  return falls.map((fall) => ({ text: fallText(fall), isGood: false }));
}

function fallText({ method, from, to, isClear }: ExposureFall): string {
  const scores = `${percent(from.summary.score)} to ${percent(to.summary.score)}`;
  const doubt = isClear ? "" : " (within the intervals)";
  return `${method} falls from ${exposureText(from.exposure)} to ${exposureText(to.exposure)} images a class: ${scores}${doubt}.`;
}
