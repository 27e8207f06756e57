import type { Box } from "../../core/boxes.ts";
import type { RgbImage } from "../../core/image.ts";
import type { FailedFile } from "../../io/file-walk.ts";
import type { SplitName } from "../labelled/labelled-set.ts";

/** The formats of boxes that are read and written. */
export type DetectionFormat = "coco" | "yolo" | "voc";

/** One object in a picture. */
export interface DetectionBox {
  readonly box: Box; // xyxy, pixels of the picture as it is displayed (EXIF orientation applied), within it
  readonly class: number; // index into the set's classes
  readonly crowd: boolean; // one box over many objects
  readonly difficult: boolean; // neither asked for nor punished in evaluation
  readonly area: number; // pixels²: of the segment where the set says so, else of the box
  readonly id?: number | string;
  /** As COCO writes it: polygons ([[x, y, …], …] in pixels) or run lengths. */
  readonly segmentation?: unknown;
  /** What else its own format says, by field. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** One picture of the set, not decoded. */
export interface DetectionImage {
  readonly key: string; // split and file name, unique within the set
  readonly file: string; // name below the split's folder
  readonly path: string;
  readonly width: number; // pixels, as displayed
  readonly height: number;
  readonly boxes: readonly DetectionBox[]; // none: background
  readonly id?: number | string;
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** What can be wrong with a set. */
export type DetectionProblemKind =
  | "box-outside" // lies partly or wholly outside its picture
  | "box-empty" // zero or negative width or height
  | "box-not-finite" // a coordinate is missing, no number, or infinite
  | "unknown-category" // of a class that the set does not declare
  | "bad-annotation" // cannot be read
  | "missing-image" // names a picture that is not there
  | "unreadable-image" // the file is no picture
  | "missing-annotation" // a picture that the set says nothing about
  | "duplicate-id" // of an image, annotation or category
  | "duplicate-class" // two classes of one name
  | "superclass" // a class that only groups the others, and has no box
  | "duplicate-image" // the same file content twice in one split
  | "split-overlap" // the same file content in two splits
  | "size-mismatch" // the picture has another size than its annotation says
  | "rotated"; // EXIF orientation: displayed otherwise than stored

/** Something wrong, with its place, and what was done about it. */
export interface DetectionProblem extends FailedFile {
  readonly kind: DetectionProblemKind;
  readonly id?: number | string;
  /** What became of the box, picture or class: gone, changed so that it can be used, or left as it is. */
  readonly action: "left-out" | "mended" | "noted";
}

/** A set of pictures with boxes, as training and evaluation read it. No pixels are kept. */
export interface DetectionSet {
  readonly name: string;
  readonly path: string;
  readonly format: DetectionFormat;
  readonly classes: readonly string[]; // no two equal; a class may have no box
  readonly categories: readonly CategoryOrigin[]; // one a class
  readonly splits: ReadonlyMap<SplitName, readonly DetectionImage[]>; // a split that is not there is absent
  readonly problems: readonly DetectionProblem[];
  /** SHA-256 in hex over classes, keys, sizes, boxes and the identity of the picture files. */
  readonly fingerprint: string;
  /** What the format says of the whole set: COCO's info and licences. */
  readonly about: Readonly<Record<string, unknown>>;
  /** Reads and decodes one picture. @throws UserError naming the file */
  decode(image: DetectionImage): Promise<RgbImage>;
}

/** What a class was in the files it was read from. */
export interface CategoryOrigin {
  readonly id: number; // COCO's category id; index where the format has none
  readonly extra?: Readonly<Record<string, unknown>>; // supercategory and the like
}
