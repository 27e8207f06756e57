import { join } from "node:path";
import sharp from "sharp";
import { writeFileAtomic } from "../io/atomic-files.ts";
import type { MetricsRecord } from "./metrics-log.ts";

/** A measured value after an update. */
export interface CurvePoint {
  readonly step: number;
  readonly value: number;
}

/** What a picture of a training shows: a panel each, above one another, over the same steps. */
export interface LossCurve {
  readonly title: string;
  readonly subtitle?: string;
  readonly loss: readonly CurvePoint[];
  /** Validation scores, one line each. */
  readonly scores?: Readonly<Record<string, readonly CurvePoint[]>>;
  readonly learningRate?: readonly CurvePoint[];
}

/** The points of one metric in a log, in order; records without a finite number for it are left out. */
export function curveOf(records: readonly MetricsRecord[], name: string): CurvePoint[] {
  return records.flatMap(({ step, [name]: value }) =>
    typeof value === "number" && Number.isFinite(value) ? [{ step, value }] : [],
  );
}

/** Writes the picture as `<folder>/<name>.svg` and, in twice the size, `.png`. */
export async function writeLossCurve(folder: string, name: string, curve: LossCurve): Promise<void> {
  const svg = lossCurveSvg(curve);
  const png = await sharp(Buffer.from(svg), { density: 144 }).png({ palette: true }).toBuffer();
  await writeFileAtomic(join(folder, `${name}.svg`), svg);
  await writeFileAtomic(join(folder, `${name}.png`), png);
}

const WIDTH = 880;
const LEFT = 76;
const RIGHT = 24;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const GAP = 44; // between panels, with room for the next one's heading
const COLORS = ["#1f5fa8", "#c2541b", "#2e7d4f", "#7a4fa3"]; // told apart by colour-blind readers as well

interface Line {
  readonly points: readonly CurvePoint[];
  readonly color: string;
  readonly faint?: boolean; // drawn thin and pale, behind the others
  readonly dots?: boolean; // marks every point, for sparse values
}

interface Panel {
  readonly heading: string;
  readonly legend: Readonly<Record<string, string>>; // colour by name
  readonly height: number;
  readonly lines: readonly Line[];
  readonly range: readonly [low: number, high: number];
}

/** The picture as a self-contained SVG document. The same points give the same text. */
export function lossCurveSvg({ title, subtitle, loss, scores = {}, learningRate = [] }: LossCurve): string {
  const panels = [lossPanel(loss)];
  const named = Object.entries(scores).filter(([, points]) => points.length > 0);
  if (named.length > 0) panels.push(scorePanel(named));
  if (learningRate.length > 0) panels.push(learningRatePanel(learningRate));

  const lastStep = Math.max(1, ...panels.flatMap(({ lines }) => lines.map(({ points }) => points.at(-1)?.step ?? 0)));
  const x = (step: number) => LEFT + (step / lastStep) * PLOT_WIDTH;
  let top = 92;
  const drawn: string[] = [];
  for (const panel of panels) {
    drawn.push(drawPanel(panel, top, x));
    top += panel.height + GAP;
  }
  const bottom = top - GAP;
  const stepLabels = niceTicks(0, lastStep, 8).map((step) =>
    text(x(step), bottom + 18, formatTick(step), 'text-anchor="middle" fill="#555"'),
  );
  const height = bottom + 46;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`,
    ' font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12">\n',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>\n`,
    text(LEFT, 30, title, 'font-size="18" font-weight="bold" fill="#111"'),
    subtitle ? text(LEFT, 50, subtitle, 'fill="#555"') : "",
    ...drawn,
    ...stepLabels,
    text(LEFT + PLOT_WIDTH / 2, bottom + 36, "updates", 'text-anchor="middle" fill="#555"'),
    "</svg>\n",
  ].join("");
}

/** Running mean with weight on about the last `span` points, without a pull towards the start. */
export function smooth(points: readonly CurvePoint[], span: number): CurvePoint[] {
  const keep = 1 - 1 / Math.max(1, span);
  let sum = 0;
  let weight = 0;
  return points.map(({ step, value }) => {
    sum = keep * sum + value;
    weight = keep * weight + 1;
    return { step, value: sum / weight };
  });
}

function lossPanel(loss: readonly CurvePoint[]): Panel {
  const smoothed = smooth(loss, loss.length / 50);
  // The few wildest losses may leave the picture, so that they do not flatten all others.
  const sorted = loss.map(({ value }) => value).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const lines = [
    { points: loss, color: COLORS[0], faint: true },
    { points: smoothed, color: COLORS[0] },
  ];
  const last = smoothed.at(-1);
  const heading = last ? `Loss (pale: each record, bold: running mean, last ${formatTick(last.value)})` : "Loss";
  return { heading, legend: {}, height: 280, lines, range: [at(0.002), at(0.998)] };
}

function scorePanel(scores: [string, readonly CurvePoint[]][]): Panel {
  const lines = scores.map(([, points], i) => ({ points, color: COLORS[(i + 1) % COLORS.length], dots: true }));
  const legend = Object.fromEntries(
    scores.map(([name, points], i) => [`${name} (last ${formatTick(points.at(-1)?.value ?? 0)})`, lines[i].color]),
  );
  const values = scores.flatMap(([, points]) => points.map(({ value }) => value));
  const range = [Math.min(0, ...values), Math.max(...values)] as const;
  return { heading: "Validation", legend, height: 150, lines, range };
}

function learningRatePanel(points: readonly CurvePoint[]): Panel {
  const highest = points.reduce((most, { value }) => Math.max(most, value), 0);
  return { heading: "Learning rate", legend: {}, height: 80, lines: [{ points, color: "#555" }], range: [0, highest] };
}

function drawPanel({ heading, legend, height, lines, range }: Panel, top: number, x: (step: number) => number): string {
  const ticks = niceTicks(range[0], range[1], Math.max(2, height / 40));
  const low = Math.min(range[0], ticks[0]);
  const high = Math.max(range[1], ticks.at(-1) as number);
  const y = (value: number) => {
    const share = (Math.min(high, Math.max(low, value)) - low) / (high - low || 1);
    return top + height * (1 - share);
  };
  const grid = ticks.map((value) => {
    const label = text(LEFT - 8, y(value) + 4, formatTick(value), 'text-anchor="end" fill="#555"');
    return `<path d="M${LEFT} ${round(y(value))}h${PLOT_WIDTH}" stroke="#e4e4e4"/>\n${label}`;
  });
  const headings = [text(LEFT, top - 10, heading, 'font-weight="bold" fill="#333"')];
  let end = LEFT + PLOT_WIDTH;
  for (const [name, color] of Object.entries(legend).reverse()) {
    headings.push(text(end, top - 10, name, `text-anchor="end" fill="${color}"`));
    end -= name.length * 6.2 + 22;
  }
  const frame = `<path d="M${LEFT} ${top}V${top + height}H${LEFT + PLOT_WIDTH}" fill="none" stroke="#999"/>\n`;
  return [...headings, ...grid, ...lines.map((line) => drawLine(line, x, y)), frame].join("");
}

function drawLine(
  { points, color, faint, dots }: Line,
  x: (step: number) => number,
  y: (value: number) => number,
): string {
  const kept = thin(points, x);
  const path = kept.map(({ step, value }, i) => `${i ? "L" : "M"}${round(x(step))} ${round(y(value))}`).join("");
  const style = faint ? 'stroke-width="1" stroke-opacity="0.3"' : 'stroke-width="2"';
  const marks = dots
    ? kept.map(({ step, value }) => `<circle cx="${round(x(step))}" cy="${round(y(value))}" r="2.5" fill="${color}"/>`)
    : [];
  return `<path d="${path}" fill="none" stroke="${color}" stroke-linejoin="round" ${style}/>${marks.join("")}\n`;
}

/** Of the points in one pixel column, the lowest, the highest and the last: the picture is the same, the file small. */
function thin(points: readonly CurvePoint[], x: (step: number) => number): CurvePoint[] {
  const columns = new Map<number, CurvePoint[]>();
  for (const point of points) {
    const pixel = Math.floor(x(point.step));
    const column = columns.get(pixel);
    if (column) column.push(point);
    else columns.set(pixel, [point]);
  }
  return [...columns.values()].flatMap((column) => {
    const lowest = column.reduce((a, b) => (b.value < a.value ? b : a));
    const highest = column.reduce((a, b) => (b.value > a.value ? b : a));
    return column.filter((point) => point === lowest || point === highest || point === column.at(-1));
  });
}

/** About `count` round numbers that cover [low, high]. */
export function niceTicks(low: number, high: number, count: number): number[] {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) as number) * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.max(first + 1, Math.floor(high / step + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A short label: 0, 0.25, 12.5, 20k, 1.5M, 8e-4. */
function formatTick(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  if (size !== 0 && size < 0.01) return Number(value.toPrecision(3)).toExponential();
  return String(Number(value.toPrecision(4)));
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped}</text>\n`;
}

const round = (value: number) => Math.round(value * 10) / 10;
