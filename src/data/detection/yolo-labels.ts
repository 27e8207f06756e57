import { type Box, boxFromCentre } from "../../core/boxes.ts";
import { detectionProblem, type ProblemSink, type RawBox } from "./raw-set.ts";

/**
 * The rows of a YOLO label file: `class x y width height` as fractions of the picture, or `class x y x y …`, the polygon
 * of a segment, whose bounds become the box.
 *
 * @param path     the file, for reports
 * @param classOf  the class of each number in the file
 */
export function parseYoloLabels(path: string, text: string, classOf: readonly number[], report: ProblemSink): RawBox[] {
  const boxes: RawBox[] = [];
  for (const [i, line] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "") continue;
    const place = `${path}:${i + 1}`;
    const isPolygon = words.length >= 7 && words.length % 2 === 1;
    if (words.length !== 5 && !isPolygon) {
      const finding = `a row must be a class with 4 numbers or with the points of a polygon, got ${words.length} fields`;
      report(detectionProblem("bad-annotation", "left-out", { path: place, finding }));
      continue;
    }
    const number = Number(words[0]);
    if (!Number.isInteger(number) || number < 0 || number >= classOf.length) {
      const finding = `the class must be a number from 0 to ${classOf.length - 1}, got "${words[0]}"`;
      report(detectionProblem("unknown-category", "left-out", { path: place, finding }));
      continue;
    }
    const values = words.slice(1).map((word) => (/^[+-]?(\d|\.\d)/.test(word) ? Number(word) : Number.NaN));
    if (!isPolygon) {
      const [x, y, width, height] = values;
      boxes.push({ place, class: classOf[number], box: boxFromCentre([x, y, width, height]) });
    } else boxes.push({ place, class: classOf[number], box: boundsOf(values), segmentation: [values] });
  }
  return boxes;
}

function boundsOf(points: readonly number[]): Box {
  const xs = points.filter((_, i) => i % 2 === 0);
  const ys = points.filter((_, i) => i % 2 === 1);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** The area of a polygon given as x y x y …, by the shoelace formula. */
export function polygonArea(points: readonly number[]): number {
  let twice = 0;
  for (let i = 0; i < points.length; i += 2) {
    const [x0, y0, x1, y1] = [0, 1, 2, 3].map((k) => points[(i + k) % points.length]);
    twice += x0 * y1 - x1 * y0;
  }
  return Math.abs(twice) / 2;
}
