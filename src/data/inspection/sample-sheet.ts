import { extname } from "node:path";
import sharp from "sharp";
import { UserError } from "../../core/errors.ts";
import type { RgbImage } from "../../core/image.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";
import type { OpenedLabelledSet } from "../labelled/open-labelled-set.ts";
import { unitHash } from "../labelled/split-by-hash.ts";
import { allImages, type PlacedImage } from "./duplicates.ts";

const tile = 112; // pixels a side
const textHeight = 34; // pixels under a tile: two lines
const gap = 8;
const columns = 10;
const lineLength = 19; // characters that fit under a tile

/** A picture of the sheet, or what it could not be read for. */
interface Sample extends PlacedImage {
  readonly caption: string;
  readonly picture?: Buffer; // PNG, tile × tile
}

/** The endings of files that a sheet can be written to. */
export const sheetEndings: readonly string[] = [".png", ".jpg", ".jpeg", ".html"];

/**
 * Draws samples of a set with their labels or captions under them: PNG or JPEG by the path's ending, or a page of HTML.
 * Every class has its turn; which pictures are shown depends on their keys alone. A picture that does not decode is
 * a grey tile with a cross.
 *
 * @throws UserError `bad-argument` for another ending, `unsupported` where no font can draw the labels of a picture
 */
export async function writeSampleSheet(path: string, set: OpenedLabelledSet, samples = 60): Promise<void> {
  const ending = extname(path).toLowerCase();
  if (!sheetEndings.includes(ending)) {
    throw new UserError("bad-argument", `${path}: must end with ${sheetEndings.join(", ")}. Name the sheet so.`);
  }
  const chosen = await Promise.all(chooseSamples(set, samples).map((one) => readSample(set, one)));
  if (ending === ".html") return writeFileAtomic(path, page(set, chosen));
  const sheet = await drawSheet(chosen);
  await writeFileAtomic(path, await (ending === ".png" ? sheet.png() : sheet.jpeg({ quality: 90 })).toBuffer());
}

/** Round after round, one picture of each class, by the hash of its key; then sorted by class. */
export function chooseSamples(set: OpenedLabelledSet, count: number): PlacedImage[] {
  const shuffled = allImages(set)
    .map((one) => ({ one, hash: unitHash(one.image.key, "sheet") }))
    .sort((a, b) => a.hash - b.hash);
  const turns = new Map<number, number>();
  const ranked = shuffled.map(({ one, hash }) => {
    const label = one.image.labels[0] ?? -1;
    const turn = turns.get(label) ?? 0;
    turns.set(label, turn + 1);
    return { one, hash, label, turn };
  });
  ranked.sort((a, b) => a.turn - b.turn || a.hash - b.hash);
  return ranked
    .slice(0, count)
    .sort((a, b) => a.label - b.label || a.turn - b.turn)
    .map(({ one }) => one);
}

async function readSample(set: OpenedLabelledSet, { split, image }: PlacedImage): Promise<Sample> {
  const labels = image.labels.map((label) => set.classes[label]).join(", ");
  const caption = labels === "" ? (image.texts[0] ?? "no label") : labels;
  try {
    return { split, image, caption, picture: await toTile(await set.decode(image)) };
  } catch (error) {
    if (error instanceof UserError) return { split, image, caption }; // drawn as a cross, reported by the inspection
    throw error;
  }
}

/** Small pictures are enlarged by whole pixels, so that what the model sees shows. */
function toTile({ width, height, data }: RgbImage): Promise<Buffer> {
  const kernel = Math.max(width, height) < tile / 1.5 ? "nearest" : "cubic";
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(tile, tile, { fit: "contain", background: "#e4e4ea", kernel })
    .png()
    .toBuffer();
}

async function drawSheet(samples: readonly Sample[]) {
  const across = Math.min(columns, Math.max(1, samples.length));
  const rows = Math.ceil(samples.length / across);
  const width = across * (tile + gap) + gap;
  const height = rows * (tile + textHeight + gap) + gap;
  const placed = samples.map((sample, i) => ({
    sample,
    left: gap + (i % across) * (tile + gap),
    top: gap + Math.floor(i / across) * (tile + textHeight + gap),
  }));
  await checkFonts();
  const tiles = placed.flatMap(({ sample: { picture }, left, top }) =>
    picture ? [{ input: picture, left, top }] : [],
  );
  const labels = placed.map(({ sample, left, top }) => labelSvg(sample, left, top)).join("");
  const text = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${labels}</svg>`,
  );
  const blank = sharp({ create: { width, height, channels: 3, background: "#ffffff" } });
  return blank.composite([...tiles, { input: text, left: 0, top: 0 }]);
}

function labelSvg({ caption, picture }: Sample, left: number, top: number): string {
  const cross = `<path d="M${left} ${top}h${tile}v${tile}h-${tile}zl${tile} ${tile}m0-${tile}l-${tile} ${tile}" fill="#ddd" stroke="#c33" stroke-width="2"/>`;
  const lines = wrapped(caption).map((line, i) => {
    const y = top + tile + 13 + 14 * i;
    return `<text x="${left + tile / 2}" y="${y}" text-anchor="middle" font-family="sans-serif" font-size="11" fill="#222">${escaped(line)}</text>`;
  });
  return (picture ? "" : cross) + lines.join("");
}

/** A text in at most two lines, cut between words where it can be. */
export function wrapped(text: string): string[] {
  const lines: string[] = [];
  let rest = text.trim().replace(/\s+/g, " ");
  for (let line = 0; line < 2 && rest !== ""; line++) {
    const letters = [...rest];
    if (letters.length <= lineLength) return [...lines, rest];
    const space = letters.slice(0, lineLength + 1).lastIndexOf(" ");
    const end = space > lineLength / 3 && line === 0 ? space : lineLength - line; // the last line leaves room for "…"
    lines.push(letters.slice(0, end).join("") + (line === 1 ? "…" : ""));
    rest = letters.slice(end).join("").trim();
  }
  return lines;
}

/** Where no font is installed the drawing would come out without a word. */
async function checkFonts(): Promise<void> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><text x="4" y="32" font-family="sans-serif" font-size="32">M</text></svg>`;
  const { channels } = await sharp(Buffer.from(svg)).stats();
  if (channels[3].max > 0) return;
  throw new UserError(
    "unsupported",
    "Sheet: must have a font for its labels, got none installed. Write .html, or install one.",
  );
}

function page(set: OpenedLabelledSet, samples: readonly Sample[]): string {
  const figures = samples.map(({ split, image, caption, picture }) => {
    const texts = image.texts.length > 0 ? image.texts : [caption];
    const source = picture
      ? `<img src="data:image/png;base64,${picture.toString("base64")}" alt="">`
      : "<p>does not decode</p>";
    const title = escaped(`${split}: ${image.key}`);
    const under = image.labels.length > 0 ? `<b>${escaped(caption)}</b><br>` : "";
    const said = image.texts.length > 0 || image.labels.length === 0 ? escaped(texts.join("\n")) : "";
    return `<figure title="${title}">${source}<figcaption>${under}${said}</figcaption></figure>`;
  });
  const style = `body{font:13px sans-serif;margin:16px}main{display:flex;flex-wrap:wrap;gap:12px}figure{margin:0;width:${tile * 1.5}px}img{width:100%;image-rendering:pixelated}figcaption{white-space:pre-line}`;
  const title = escaped(`${set.name}: ${samples.length} samples`);
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title><style>${style}</style></head>\n<body><h1>${title}</h1><main>\n${figures.join("\n")}\n</main></body></html>\n`;
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  // XML allows no control characters; captions may hold some.
  return text.replace(/[&<>"]/g, (character) => entities[character]).replace(/[^\P{Cc}\t\n\r]/gu, "");
}
