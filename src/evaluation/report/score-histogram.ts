import type { CalibrationMeasures } from "../calibration/measure-calibration.ts";
import { type Markup, markup } from "./markup.ts";

const [width, height] = [360, 300];
const plot = { left: 40, top: 14, right: 346, bottom: 240 };
const bins = 40;
const clipped = 0.002; // share of scores at either end that may fall off the picture

/** How acceptance scores of the labels' pictures (blue) and of outside pictures (orange) lie about the threshold. */
export function scoreHistogramSvg(scored: CalibrationMeasures["scored"], threshold: number): Markup {
  const sorted = scored.map(({ score }) => score).sort((a, b) => a - b);
  const low = Math.min(threshold, sorted[Math.floor(clipped * (sorted.length - 1))]);
  const high = Math.max(threshold, sorted[Math.ceil((1 - clipped) * (sorted.length - 1))]);
  const span = high - low || 1;
  const sides = [true, false].map((isInside) => {
    const own = scored.filter(({ picture }) => picture.label >= 0 === isInside);
    const shares = new Array<number>(bins).fill(0);
    for (const { score } of own) {
      const bin = Math.floor((bins * (score - low)) / span);
      shares[Math.max(0, Math.min(bins - 1, bin))] += 1 / own.length;
    }
    return { shares, color: isInside ? "#1f5fa8" : "#c2541b" };
  });
  const most = Math.max(...sides.flatMap(({ shares }) => shares));
  const x = (score: number) => round(plot.left + ((score - low) / span) * (plot.right - plot.left));
  const y = (share: number) => round(plot.bottom - (share / most) * (plot.bottom - plot.top));
  const step = (plot.right - plot.left) / bins;
  const outline = (shares: readonly number[]) =>
    shares.map((share, bin) => `L${round(plot.left + bin * step)} ${y(share)}h${round(step)}`).join("");
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12">
<title>Acceptance scores</title>
<path d="M${plot.left} ${plot.top}V${plot.bottom}H${plot.right}" fill="none" stroke="#888"/>
${sides.map(({ shares, color }) => markup`<path d="M${plot.left} ${plot.bottom}${outline(shares)}V${plot.bottom}Z" fill="${color}" fill-opacity="0.3" stroke="${color}"/>`)}
<path d="M${x(threshold)} ${plot.top}V${plot.bottom}" stroke="#222" stroke-dasharray="4 3"/>
${[low, threshold, high].map((score) => markup`<text x="${x(score)}" y="${plot.bottom + 16}" text-anchor="middle" fill="#555">${score.toPrecision(3)}</text>`)}
<text x="${(plot.left + plot.right) / 2}" y="${height - 16}" text-anchor="middle" fill="#333">acceptance score</text>
<text transform="translate(20 ${(plot.top + plot.bottom) / 2}) rotate(-90)" text-anchor="middle" fill="#333">share of pictures</text>
</svg>`;
}

const round = (value: number) => Math.round(value * 10) / 10;
