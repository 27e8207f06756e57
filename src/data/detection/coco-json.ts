import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Box } from "../../core/boxes.ts";
import { UserError } from "../../core/errors.ts";
import { readUtf8 } from "../../io/text-files.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import { type ClassTable, detectionProblem, type ProblemSink, type RawBox, type RawImage } from "./raw-set.ts";

/** One annotation file and the folder its picture names start from. */
export interface CocoFile {
  readonly split: SplitName;
  readonly path: string;
  readonly imageFolder: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** A COCO file's pictures and boxes, its categories added to `classes`. Lin et al., arXiv:1405.0312. */
export class CocoReader {
  readonly #file: CocoFile;
  readonly #report: ProblemSink;
  readonly #classOf = new Map<number, number>(); // category id → class
  #root: Fields = {};

  constructor(file: CocoFile, report: ProblemSink) {
    this.#file = file;
    this.#report = report;
  }

  /** @throws UserError naming the file: not JSON, or without COCO's three lists */
  async read(classes: ClassTable): Promise<RawImage[]> {
    const { path } = this.#file;
    this.#root = parseRoot(path, await readUtf8(path));
    for (const category of this.#list("categories")) this.#addCategory(category, classes);
    const boxes = new Map<number | string, RawBox[]>(); // by image id
    const images = this.#images(boxes);
    this.#addAnnotations(boxes);
    return images;
  }

  /** COCO's `info`, `licenses` and what else stands beside the three lists. */
  get about(): Fields {
    return without(this.#root, ["images", "annotations", "categories"]);
  }

  #list(name: string): Fields[] {
    const list = this.#root[name];
    if (!Array.isArray(list)) {
      const got = list === undefined ? "none" : typeof list;
      throw new UserError("corrupt", `${this.#file.path}: must have a list "${name}", got ${got}. Check the export.`);
    }
    return list.filter((entry, i): entry is Fields => {
      if (isFields(entry)) return true;
      this.#problem("bad-annotation", "left-out", `${name}[${i}] must be an object, got ${JSON.stringify(entry)}`);
      return false;
    });
  }

  #addCategory(category: Fields, classes: ClassTable): void {
    const { id, name: stated } = category;
    const name = typeof stated === "string" ? stated.trim() : ""; // as labels are compared everywhere
    if (typeof id !== "number" || name === "") {
      const got = JSON.stringify({ id, name: stated });
      this.#problem("bad-annotation", "left-out", `a category must have a number as id and a name, got ${got}`);
      return;
    }
    if (this.#classOf.has(id)) {
      this.#problem("duplicate-id", "left-out", `category ids must be unique, got a second one, "${name}"`, id);
      return;
    }
    const clashes = [...this.#classOf.values()].some((index) => classes.names[index] === name);
    const { index } = classes.add(name, { id, ...extraOf(category, ["id", "name"]) });
    this.#classOf.set(id, index);
    if (clashes) {
      this.#problem(
        "duplicate-class",
        "mended",
        `class names must differ, got "${name}" again; both are one class`,
        id,
      );
    }
  }

  #images(boxes: Map<number | string, RawBox[]>): RawImage[] {
    const images: RawImage[] = [];
    for (const image of this.#list("images")) {
      const { id, file_name: stated, width, height } = image;
      if ((typeof id !== "number" && typeof id !== "string") || typeof stated !== "string" || stated === "") {
        const got = JSON.stringify({ id, file_name: stated });
        this.#problem("bad-annotation", "left-out", `an image must have an id and a file_name, got ${got}`);
        continue;
      }
      if (boxes.has(id)) {
        this.#problem("duplicate-id", "left-out", `image ids must be unique, got a second one, "${stated}"`, id);
        continue;
      }
      const file = nameBelow(this.#file.imageFolder, stated);
      const own: RawBox[] = [];
      boxes.set(id, own);
      images.push({
        split: this.#file.split,
        file,
        path: join(this.#file.imageFolder, file),
        place: this.#file.path,
        id,
        unit: "pixels",
        boxes: own,
        ...sizeOf(width, height),
        ...extraOf(image, ["id", "file_name", "width", "height"]),
      });
    }
    return images;
  }

  #addAnnotations(boxes: ReadonlyMap<number | string, RawBox[]>): void {
    const seen = new Set<number | string>();
    for (const annotation of this.#list("annotations")) {
      const { id, image_id: image, category_id: category } = annotation;
      const own = typeof id === "number" || typeof id === "string" ? id : undefined;
      const known = boxes.get(image as number | string);
      const ofClass = this.#classOf.get(category as number);
      if (!known) {
        const finding = `image_id must be that of an image in the file, got ${JSON.stringify(image)}`;
        this.#problem("missing-image", "left-out", finding, own);
      } else if (ofClass === undefined) {
        const finding = `category_id must be that of a category in the file, got ${JSON.stringify(category)}`;
        this.#problem("unknown-category", "left-out", finding, own);
      } else if (own !== undefined && seen.has(own)) {
        this.#problem("duplicate-id", "left-out", "annotation ids must be unique, got a second one", own);
      } else {
        if (own !== undefined) seen.add(own);
        known.push(this.#box(annotation, ofClass, own));
      }
    }
  }

  #box(annotation: Fields, ofClass: number, id: number | string | undefined): RawBox {
    const { bbox, area, iscrowd, difficult, segmentation } = annotation;
    const corners = Array.isArray(bbox) && bbox.length === 4 ? bbox : [];
    const [x, y, width, height] = [0, 1, 2, 3].map((k) => (typeof corners[k] === "number" ? corners[k] : Number.NaN));
    const box: Box = [x, y, x + width, y + height];
    return {
      place: this.#file.path,
      class: ofClass,
      box,
      crowd: Boolean(iscrowd),
      difficult: Boolean(difficult),
      ...(id === undefined ? {} : { id }),
      ...(typeof area === "number" ? { area } : {}),
      ...(segmentation === undefined ? {} : { segmentation }),
      ...extraOf(annotation, annotationFields),
    };
  }

  #problem(
    kind: Parameters<typeof detectionProblem>[0],
    action: Parameters<typeof detectionProblem>[1],
    finding: string,
    id?: number | string,
  ): void {
    this.#report(
      detectionProblem(kind, action, { path: this.#file.path, finding, ...(id === undefined ? {} : { id }) }),
    );
  }
}

const annotationFields = ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "difficult", "segmentation"];

/** A picture's name; with "/" where it was written with the separators of Windows and is found only so. */
function nameBelow(folder: string, file: string): string {
  const turned = file.replaceAll("\\", "/");
  return turned !== file && !existsSync(join(folder, file)) && existsSync(join(folder, turned)) ? turned : file;
}

function parseRoot(path: string, text: string): Fields {
  let root: unknown;
  try {
    root = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new UserError("corrupt", `${path}: must be JSON, got "${detail}". Replace the file.`, { cause });
  }
  if (isFields(root)) return root;
  throw new UserError("unsupported", `${path}: must be a COCO annotation object, got ${typeof root}. Check the path.`);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function without(fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
}

function extraOf(fields: Fields, known: readonly string[]): { extra?: Fields } {
  const extra = without(fields, known);
  return Object.keys(extra).length === 0 ? {} : { extra };
}

/** A size that is stated; some exports write 0, which states nothing. */
export function sizeOf(width: unknown, height: unknown): { width?: number; height?: number } {
  const isStated = (side: unknown): side is number => typeof side === "number" && Number.isInteger(side) && side > 0;
  return isStated(width) && isStated(height) ? { width, height } : {};
}
