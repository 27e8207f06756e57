import { encodeXML } from "entities";
import sharp from "sharp";
import type { Box } from "../core/boxes.ts";
import type { RgbImage } from "../core/image.ts";

/** A box to be drawn. */
export interface DrawnBox {
  readonly box: Box; // xyxy, pixels of the picture
  readonly label: string;
  /** Boxes of one class have one colour. */
  readonly class: number;
  readonly score?: number; // in [0, 1], written beside the label
  /** Drawn broken: a crowd, a difficult object, or something that was missed. */
  readonly dashed?: boolean;
}

/** Twelve colours that differ in hue and lightness, each dark enough for white letters. */
const COLOURS = [
  ...["#d32f2f", "#1976d2", "#388e3c", "#7b1fa2", "#c25700", "#00838f"],
  ...["#c2185b", "#5d4037", "#303f9f", "#558b2f", "#8d6e00", "#455a64"],
];

/** The colour of a class; the thirteenth class has that of the first. */
export function classColour(ofClass: number): string {
  return COLOURS[ofClass % COLOURS.length];
}

/** An SVG of boxes with labels, to be laid on a picture of this size; large boxes lie under small ones. */
export function boxesSvg(width: number, height: number, boxes: readonly DrawnBox[]): string {
  const largest = Math.max(9, Math.min(28, Math.round(Math.min(width, height) / 28))); // height of letters, pixels
  const area = ({ box: [x0, y0, x1, y1] }: DrawnBox) => (x1 - x0) * (y1 - y0);
  const ordered = boxes.toSorted((a, b) => area(b) - area(a));
  const frames = ordered.map((box) => frame(box, largest));
  const labels = ordered.map((box) => label(box, largest, width, height)); // above all frames
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${frames.join("")}${labels.join("")}</svg>`;
}

/** The picture with boxes drawn on it, as JPEG or PNG bytes. */
export async function drawBoxes(
  { width, height, data }: RgbImage,
  boxes: readonly DrawnBox[],
  format: "jpeg" | "png" = "jpeg",
): Promise<Uint8Array> {
  const picture = sharp(data, { raw: { width, height, channels: 3 } });
  return picture
    .composite([{ input: Buffer.from(boxesSvg(width, height, boxes)) }])
    .toFormat(format, format === "jpeg" ? { quality: 90, chromaSubsampling: "4:4:4" } : {})
    .toBuffer();
}

function frame({ box: [x0, y0, x1, y1], class: own, dashed }: DrawnBox, unit: number): string {
  const stroke = Math.max(1.5, unit / 7);
  const dashes = dashed ? ` stroke-dasharray="${3 * stroke} ${2 * stroke}"` : "";
  const place = `x="${x0}" y="${y0}" width="${x1 - x0}" height="${y1 - y0}"`;
  const outline = `<rect ${place} fill="none" stroke="#fff" stroke-opacity="0.6" stroke-width="${stroke * 1.8}"/>`;
  return `${outline}<rect ${place} fill="none" stroke="${classColour(own)}" stroke-width="${stroke}"${dashes}/>`;
}

/** A tag above the box, or in it where there is no room; kept within the picture. */
function label(
  { box: [x0, y0, x1, y1], label: name, score, class: own }: DrawnBox,
  largest: number,
  width: number,
  height: number,
): string {
  const unit = Math.max(8, Math.min(largest, Math.round(0.3 * Math.min(x1 - x0, y1 - y0)))); // small boxes, small letters
  const text = score === undefined ? name : `${name} ${score.toFixed(2)}`;
  if (text === "") return "";
  const tagWidth = Math.ceil(text.length * unit * 0.56 + unit * 0.6);
  const tagHeight = Math.ceil(unit * 1.35);
  const left = Math.max(0, Math.min(x0, width - tagWidth));
  const top = Math.max(0, Math.min(y0 >= tagHeight ? y0 - tagHeight : y0, height - tagHeight));
  const inner = `textLength="${tagWidth - unit * 0.6}" lengthAdjust="spacingAndGlyphs"`; // whatever font is there, it fits
  const font = `font-family="DejaVu Sans, Arial, sans-serif" font-size="${unit}" fill="#fff"`;
  return `<rect x="${left}" y="${top}" width="${tagWidth}" height="${tagHeight}" fill="${classColour(own)}" fill-opacity="0.85"/><text x="${left + unit * 0.3}" y="${top + unit}" ${inner} ${font}>${encodeXML(text)}</text>`;
}
