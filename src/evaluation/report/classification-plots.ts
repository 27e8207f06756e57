import type { EvaluationDetails } from "../evaluation-details.ts";
import { shortened } from "./exposure-curve.ts";
import { type Markup, type MarkupValue, markup } from "./markup.ts";

const font = "Helvetica, Arial, DejaVu Sans, sans-serif";
const mostNames = 40; // classes whose names fit beside a confusion matrix
const mostNumbers = 15; // classes whose counts fit into its cells

/** A confusion matrix as a heat map: a row a true class, its darkness the share of that class's images. */
export function confusionMatrixSvg(counts: readonly (readonly number[])[], names: readonly string[]): Markup {
  const classes = counts.length;
  const cell = Math.max(5, Math.min(36, Math.floor(520 / classes)));
  const hasNames = classes <= mostNames;
  const fontSize = Math.max(8, Math.min(13, cell - 2));
  const longest = Math.min(18, Math.max(...names.map((name) => name.length)));
  const margin = hasNames ? 30 + longest * fontSize * 0.58 : 30;
  const side = margin + cell * classes + 4;
  const labels = hasNames ? names.map((name, c) => axisNames(shortened(name, 18), margin, cell, c, fontSize)) : [];
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${round(side)}" height="${round(side)}" viewBox="0 0 ${round(side)} ${round(side)}" role="img" font-family="${font}" font-size="${fontSize}">
<title>Confusion matrix: true classes down, predicted classes across</title>
<rect x="${round(margin)}" y="${round(margin)}" width="${cell * classes}" height="${cell * classes}" fill="#f7f8fa" stroke="#bbb"/>
<text x="${round(margin + (cell * classes) / 2)}" y="13" text-anchor="middle" fill="#333" font-size="13">predicted</text>
<text transform="translate(13 ${round(margin + (cell * classes) / 2)}) rotate(-90)" text-anchor="middle" fill="#333" font-size="13">true</text>
${labels}
${counts.map((row, truth) => confusionRow(row, truth, { margin, cell, names, fontSize, hasNumbers: classes <= mostNumbers }))}
</svg>`;
}

interface CellStyle {
  readonly margin: number;
  readonly cell: number;
  readonly names: readonly string[];
  readonly fontSize: number;
  readonly hasNumbers: boolean;
}

function confusionRow(row: readonly number[], truth: number, style: CellStyle): MarkupValue[] {
  const { margin, cell, names, hasNumbers } = style;
  const total = row.reduce((sum, count) => sum + count, 0);
  return row.flatMap((count, predicted): MarkupValue[] => {
    if (count === 0) return [];
    const share = count / total;
    const [x, y] = [round(margin + predicted * cell), round(margin + truth * cell)];
    const color = truth === predicted ? "#1f5fa8" : "#b3381d";
    const words = `${names[truth]} taken for ${names[predicted]}: ${count} of ${total}`;
    return [
      markup`<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="${color}" fill-opacity="${round2(0.06 + 0.94 * share)}"><title>${words}</title></rect>`,
      hasNumbers &&
        markup`<text x="${round(x + cell / 2)}" y="${round(y + cell / 2 + 4)}" text-anchor="middle" font-size="11" fill="${share > 0.5 ? "#fff" : "#222"}" pointer-events="none">${count}</text>`,
    ];
  });
}

function axisNames(name: string, margin: number, cell: number, c: number, fontSize: number): Markup {
  const at = round(margin + c * cell + cell / 2 + fontSize * 0.35);
  return markup`<text x="${round(margin - 5)}" y="${at}" text-anchor="end" fill="#333">${name}</text>
<text transform="translate(${at} ${round(margin - 5)}) rotate(-90)" fill="#333">${name}</text>
`;
}

const side = 300;
const inner = { left: 52, top: 14, size: 226 };

/** Accuracy against confidence; the area of a dot is the share of images in its bin. */
export function reliabilitySvg(bins: NonNullable<EvaluationDetails["reliability"]>): Markup {
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  const marks = bins.map(({ confidence, accuracy, count }) => {
    const words = `confidence ${share(confidence)}, right ${share(accuracy)}, ${count} images`;
    const radius = Math.max(2, 22 * Math.sqrt(count / total));
    return markup`<circle cx="${px(confidence)}" cy="${py(accuracy)}" r="${round(radius)}" fill="#1f5fa8" fill-opacity="0.45" stroke="#1f5fa8"><title>${words}</title></circle>`;
  });
  const path = bins.map(({ confidence, accuracy }) => `${px(confidence)} ${py(accuracy)}`).join("L");
  const content = markup`<path d="M${path}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>${marks}`;
  return square("Reliability", "confidence", "share right", content);
}

export interface RocDrawing {
  /** Other curves, drawn thin behind this one, each with its name. */
  readonly others?: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
  /** Where a threshold lies, with words about it. */
  readonly mark?: { readonly point: readonly [number, number]; readonly words: string };
}

/** True against false acceptances when what scores high enough is accepted. */
export function rocSvg(
  { points, of = "answers" }: NonNullable<EvaluationDetails["roc"]>,
  { others = [], mark }: RocDrawing = {},
): Markup {
  const pathOf = (curve: readonly (readonly [number, number])[]) =>
    curve.map(([x, y]) => `${px(x)} ${py(y)}`).join("L");
  const content = markup`${others.map(
    (other) =>
      markup`<path d="M${pathOf(other.points)}" fill="none" stroke="#9aa3ad" stroke-width="1.2"><title>${other.name}</title></path>`,
  )}<path d="M${pathOf(points)}" fill="none" stroke="#2e7d4f" stroke-width="2"/>${
    mark &&
    markup`<circle cx="${px(mark.point[0])}" cy="${py(mark.point[1])}" r="5" fill="#c2541b" stroke="#fff"><title>${mark.words}</title></circle>`
  }`;
  return of === "answers"
    ? square("ROC", "wrong answers accepted", "right answers accepted", content)
    : square("ROC", "outside pictures accepted", "pictures of the labels accepted", content);
}

function square(title: string, xName: string, yName: string, content: Markup): Markup {
  const { left, top, size } = inner;
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="0 0 ${side} ${side}" role="img" font-family="${font}" font-size="12">
<title>${title}</title>
${ticks.map((tick) => markup`<path d="M${left} ${py(tick)}h${size}M${px(tick)} ${top}v${size}" stroke="#e8e8e8"/><text x="${left - 6}" y="${py(tick) + 4}" text-anchor="end" fill="#555">${100 * tick}</text><text x="${px(tick)}" y="${top + size + 16}" text-anchor="middle" fill="#555">${100 * tick}</text>`)}
<path d="M${left} ${top}v${size}h${size}" fill="none" stroke="#888"/>
<path d="M${px(0)} ${py(0)}L${px(1)} ${py(1)}" stroke="#888" stroke-dasharray="3 4"/>
${content}
<text x="${left + size / 2}" y="${side - 16}" text-anchor="middle" fill="#333">${xName}, %</text>
<text transform="translate(14 ${top + size / 2}) rotate(-90)" text-anchor="middle" fill="#333">${yName}, %</text>
</svg>`;
}

const px = (value: number) => round(inner.left + value * inner.size);
const py = (value: number) => round(inner.top + (1 - value) * inner.size);
const share = (value: number) => `${(100 * value).toFixed(1)} %`;
const round = (value: number) => Math.round(value * 10) / 10;
const round2 = (value: number) => Math.round(value * 100) / 100;
