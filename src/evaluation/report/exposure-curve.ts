import { niceTicks } from "../../training/loss-curve.ts";
import {
  compareExposures,
  type Exposure,
  type ExposureChart,
  type ExposureLine,
  exposureText,
} from "../exposure-curves.ts";
import { type Markup, markup } from "./markup.ts";

const width = 640;
const height = 420;
const plot = { left: 64, right: 20, bottom: 64 };
const legendLine = 22; // pixels
const colors = ["#1f5fa8", "#c2541b", "#2e7d4f", "#7a4fa3", "#8a6d00", "#a0335f"]; // also for colour-blind readers

/** The curve of a score over exposure as a self-contained SVG: intervals shaded, chance dashed, a legend, both axes named. */
export function exposureCurveSvg({ lines, chance, metric, data, model }: ExposureChart): Markup {
  const exposures = [...new Set(lines.flatMap(({ points }) => points.map(({ exposure }) => exposure)))];
  exposures.sort(compareExposures);
  const top = 62 + legendLine * Math.ceil((lines.length + 1) / 2);
  const [low, high] = rangeOf(lines, chance);
  const spacing = (width - plot.left - plot.right) / exposures.length;
  const x = (exposure: Exposure) => plot.left + spacing * (exposures.indexOf(exposure) + 0.5);
  const y = (share: number) => top + ((high - share) / (high - low)) * (height - plot.bottom - top);
  const bottom = height - plot.bottom;
  const right = width - plot.right;
  const grid = niceTicks(100 * low, 100 * high, 6).filter((tick) => tick >= 100 * low && tick <= 100 * high);
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"
 role="img" font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="14">
<title>${metric} on ${data.name} by training images a class</title>
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${plot.left}" y="26" font-size="17" font-weight="bold" fill="#111">${shortened(data.name, 40)}</text>
<text x="${plot.left}" y="46" font-size="13" fill="#555">${shortened(`${metric} on ${data.split} by ${model.name}`, 75)}</text>
${legend(lines)}
${grid.map((tick) => horizontal(y(tick / 100), `${tick} %`, right))}
<path d="M${plot.left} ${top}V${bottom}H${right}" fill="none" stroke="#888"/>
${exposures.map((exposure) => markup`<text x="${round(x(exposure))}" y="${bottom + 20}" text-anchor="middle" fill="#333">${exposureText(exposure)}</text>`)}
<text x="${(plot.left + right) / 2}" y="${height - 18}" text-anchor="middle" fill="#333">training images a class</text>
<text transform="translate(16 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle" fill="#333">${metric}, %</text>
<path d="M${plot.left} ${round(y(chance))}H${right}" stroke="#666" stroke-width="1.5" stroke-dasharray="2 4"/>
${lines.map((line, i) => drawBand(line, colors[i % colors.length], x, y))}
${lines.map((line, i) => drawLine(line, colors[i % colors.length], x, y))}
</svg>`;
}

type Place<T> = (value: T) => number;

/** The shares shown: from 0 or a little below the lowest, to a little above the highest. */
function rangeOf(lines: readonly ExposureLine[], chance: number): [low: number, high: number] {
  const intervals = lines.flatMap(({ points }) => points.map(({ summary }) => summary.interval));
  const lowest = Math.min(chance, ...intervals.map(([low]) => low));
  const highest = Math.max(chance, ...intervals.map(([, high]) => high));
  const low = lowest < 0.35 ? 0 : Math.floor(lowest * 20 - 0.5) / 20;
  return [low, Math.min(1, Math.ceil(highest * 20 + 0.2) / 20)];
}

function horizontal(y: number, label: string, right: number): Markup {
  return markup`<path d="M${plot.left} ${round(y)}H${right}" stroke="#e4e4e4"/>
<text x="${plot.left - 8}" y="${round(y + 5)}" text-anchor="end" fill="#555">${label}</text>
`;
}

/** The interval as an area along the line; of a single point, as a bar. */
function drawBand({ points }: ExposureLine, color: string, x: Place<Exposure>, y: Place<number>): Markup {
  if (points.length === 1) {
    const [{ exposure, summary }] = points;
    const [low, high] = summary.interval;
    const at = round(x(exposure));
    return markup`<path d="M${at} ${round(y(low))}V${round(y(high))}M${at - 6} ${round(y(low))}h12M${at - 6} ${round(y(high))}h12" stroke="${color}" stroke-width="1.5" fill="none"/>`;
  }
  const upper = points.map(({ exposure, summary }) => `${round(x(exposure))} ${round(y(summary.interval[1]))}`);
  const lower = points.map(({ exposure, summary }) => `${round(x(exposure))} ${round(y(summary.interval[0]))}`);
  return markup`<path d="M${[...upper, ...lower.reverse()].join("L")}Z" fill="${color}" fill-opacity="0.15"/>`;
}

function drawLine({ method, points }: ExposureLine, color: string, x: Place<Exposure>, y: Place<number>): Markup {
  const path = points.map(({ exposure, summary }) => `${round(x(exposure))} ${round(y(summary.score))}`).join("L");
  return markup`<path d="M${path}" fill="none" stroke="${color}" stroke-width="2.5" stroke-linejoin="round"/>
${points.map(({ exposure, summary: { score, interval, entries } }) => {
  const [low, high] = interval;
  const seeds = entries.length > 1 ? `, ${entries.length} seeds` : "";
  const words = `${method}, ${exposureText(exposure)} a class: ${share(score)} (${share(low)} to ${share(high)}${seeds})`;
  return markup`<circle cx="${round(x(exposure))}" cy="${round(y(score))}" r="4.5" fill="${color}" stroke="#fff"><title>${words}</title></circle>`;
})}`;
}

function legend(lines: readonly ExposureLine[]): Markup[] {
  const column = (width - plot.left - plot.right) / 2;
  const entries = [
    ...lines.map(({ method }, i) => ({ name: method, color: colors[i % colors.length], dash: "none" })),
    { name: "chance", color: "#666", dash: "2 4" },
  ];
  return entries.map(({ name, color, dash }, i) => {
    const left = plot.left + column * (i % 2);
    const y = 68 + legendLine * Math.floor(i / 2);
    return markup`<path d="M${left} ${y - 5}h26" stroke="${color}" stroke-width="2.5" stroke-dasharray="${dash}"/>
<text x="${left + 34}" y="${y}" fill="#333">${shortened(name, 30)}</text>
`;
  });
}

const share = (value: number) => `${(100 * value).toFixed(1)} %`;
const round = (value: number) => Math.round(value * 10) / 10;

export function shortened(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
