import { type Box, boxArea, clipBox } from "../../core/boxes.ts";
import type { ImageHeader } from "../../io/image-header.ts";
import type { DetectionBox } from "./detection-set.ts";
import { detectionProblem, type ProblemSink, type RawBox, type RawImage } from "./raw-set.ts";
import { polygonArea } from "./yolo-labels.ts";

/** Boxes that leave their picture by less are only rounded otherwise, and pulled in without a word. Pixels. */
const ROUNDING = 0.01;

/** The frame that an annotation's boxes are in, and the picture as it is displayed. */
export interface PictureFrame {
  readonly width: number; // as displayed
  readonly height: number;
  /** EXIF orientation still to be applied to the boxes; 1 = none. */
  readonly turn: number;
}

/**
 * The frame of a picture's boxes, by its header and the size that its annotation states; undefined where the two cannot
 * be brought together, which is reported.
 */
export function frameOf(image: RawImage, header: ImageHeader, report: ProblemSink): PictureFrame | undefined {
  const { orientation } = header;
  const isTurned = orientation >= 5;
  const [width, height] = isTurned ? [header.height, header.width] : [header.width, header.height];
  const stated = image.width !== undefined && image.height !== undefined;
  const isDisplayed = !stated || (image.width === width && image.height === height);
  const isStored = stated && image.width === header.width && image.height === header.height;
  const tell = (action: "noted" | "mended", finding: string) =>
    report(detectionProblem("rotated", action, { path: image.path, ...idOf(image), finding }));
  if (isDisplayed) {
    if (orientation !== 1) {
      tell(
        "noted",
        `a picture should be stored upright, got EXIF orientation ${orientation}; boxes are taken as displayed`,
      );
    }
    return { width, height, turn: 1 };
  }
  if (isStored) {
    tell("mended", `boxes must be of the displayed picture, got EXIF orientation ${orientation} and the stored size`);
    return { width, height, turn: orientation };
  }
  const finding = `the picture must have the annotated size ${image.width}×${image.height}, got ${width}×${height}`;
  report(
    detectionProblem("size-mismatch", "left-out", { path: image.path, code: "mismatch", ...idOf(image), finding }),
  );
  return undefined;
}

/** The usable boxes of a picture, in its displayed pixels; what is wrong with the others is reported. */
export function settleBoxes(
  image: RawImage,
  frame: PictureFrame,
  keepIds: boolean,
  report: ProblemSink,
): DetectionBox[] {
  return image.boxes.flatMap((raw) => settleBox(raw, image, frame, keepIds, report));
}

function settleBox(
  raw: RawBox,
  image: RawImage,
  { width, height, turn }: PictureFrame,
  keepIds: boolean,
  report: ProblemSink,
): DetectionBox[] {
  const isFraction = image.unit === "fractions";
  const stated: Box = isFraction ? scaleBox(raw.box, width, height) : raw.box;
  const shown = `[${raw.box.map((edge) => Number(edge.toFixed(4))).join(", ")}] in ${image.file}`;
  const tell = (kind: "box-not-finite" | "box-empty" | "box-outside", action: "left-out" | "mended", rule: string) =>
    report(detectionProblem(kind, action, { path: raw.place, ...idOf(raw), finding: `${rule}, got ${shown}` }));
  if (!stated.every(Number.isFinite)) {
    tell("box-not-finite", "left-out", "a box must have four finite numbers");
    return [];
  }
  if (stated[2] <= stated[0] || stated[3] <= stated[1]) {
    tell("box-empty", "left-out", "a box must have a positive width and height");
    return [];
  }
  const box = turn === 1 ? stated : turnBox(stated, turn, width, height);
  const clipped = clipBox(box, width, height);
  if (boxArea(clipped) === 0) {
    tell("box-outside", "left-out", `a box must lie within its picture of ${width}×${height}`);
    return [];
  }
  const isCut = box.some((edge, k) => Math.abs(edge - clipped[k]) > ROUNDING);
  if (isCut) tell("box-outside", "mended", `a box must lie within its picture of ${width}×${height}`);
  const segmentation = turn === 1 ? scaleSegmentation(raw.segmentation, isFraction, width, height) : undefined;
  return [
    {
      box: clipped,
      class: raw.class,
      crowd: raw.crowd ?? false,
      difficult: raw.difficult ?? false,
      area: areaOf(raw, clipped, isCut, isFraction ? segmentation : undefined),
      ...(keepIds ? idOf(raw) : {}),
      ...(segmentation === undefined ? {} : { segmentation }),
      ...(raw.extra ? { extra: raw.extra } : {}),
    },
  ];
}

/** The stated area; that of a polygon which stands in for it; else the box's. */
function areaOf({ area }: RawBox, box: Box, isCut: boolean, polygons: unknown): number {
  if (area !== undefined && Number.isFinite(area) && area >= 0 && !isCut) return area;
  if (Array.isArray(polygons)) return polygons.reduce((sum: number, points: number[]) => sum + polygonArea(points), 0);
  return boxArea(box);
}

function scaleBox([x0, y0, x1, y1]: Box, width: number, height: number): Box {
  return [x0 * width, y0 * height, x1 * width, y1 * height];
}

/** Polygons given as fractions, in pixels; a segment in pixels stays as it is. */
function scaleSegmentation(segmentation: unknown, isFraction: boolean, width: number, height: number): unknown {
  if (!isFraction || !Array.isArray(segmentation)) return segmentation;
  return segmentation.map((points: number[]) => points.map((value, i) => value * (i % 2 === 0 ? width : height)));
}

/** A box of the stored picture in the displayed one, whose size is given. EXIF orientations 2 … 8. */
export function turnBox([x0, y0, x1, y1]: Box, orientation: number, width: number, height: number): Box {
  // Orientations 5 … 8 swap the axes; then 2, 3, 6, 7 mirror x and 3, 4, 7, 8 mirror y of the displayed picture.
  const [a0, b0, a1, b1] = orientation >= 5 ? [y0, x0, y1, x1] : [x0, y0, x1, y1];
  const mirrorX = [2, 3, 6, 7].includes(orientation);
  const mirrorY = [3, 4, 7, 8].includes(orientation);
  return [mirrorX ? width - a1 : a0, mirrorY ? height - b1 : b0, mirrorX ? width - a0 : a1, mirrorY ? height - b0 : b1];
}

function idOf({ id }: { readonly id?: number | string }): { id?: number | string } {
  return id === undefined ? {} : { id };
}
