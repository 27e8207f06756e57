import type { Box } from "../../core/boxes.ts";
import { UserError, type UserErrorCode } from "../../core/errors.ts";
import { failedFile } from "../../io/file-walk.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import type { CategoryOrigin, DetectionFormat, DetectionProblem, DetectionProblemKind } from "./detection-set.ts";

/** A box as a file states it, not checked yet. */
export interface RawBox {
  readonly place: string; // file, with line or annotation id
  readonly id?: number | string;
  readonly class: number; // index into the classes
  readonly box: Box; // any numbers, NaN among them
  readonly crowd?: boolean;
  readonly difficult?: boolean;
  readonly area?: number;
  readonly segmentation?: unknown;
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** A picture as a file states it. */
export interface RawImage {
  readonly split: SplitName;
  readonly file: string; // name below the split's folder
  readonly path: string; // where the file should be
  readonly place: string; // what to name in a report
  readonly id?: number | string;
  readonly width?: number; // as stated, pixels
  readonly height?: number;
  readonly unit: "pixels" | "fractions"; // of the boxes
  readonly boxes: readonly RawBox[];
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** Everything that a reader found, before pictures are looked at. */
export interface RawSet {
  readonly format: DetectionFormat;
  readonly classes: readonly string[];
  readonly categories: readonly CategoryOrigin[];
  readonly images: readonly RawImage[];
  readonly about: Readonly<Record<string, unknown>>;
}

/** Takes a problem down. */
export type ProblemSink = (problem: DetectionProblem) => void;

export interface ProblemDetails {
  readonly path: string; // with line, where there is one
  readonly id?: number | string;
  readonly code?: UserErrorCode;
  readonly finding: string; // "rule, got value"
}

const consequences = {
  "left-out": "It is left out.",
  mended: "It is mended.",
  noted: "It stays as it is.",
} as const satisfies Record<DetectionProblem["action"], string>;

/** A problem in the form that every report has: `path: [id: ]rule, got value. What became of it.` */
export function detectionProblem(
  kind: DetectionProblemKind,
  action: DetectionProblem["action"],
  { path, id, code = "corrupt", finding }: ProblemDetails,
): DetectionProblem {
  const subject = id === undefined ? path : `${path}: id ${id}`;
  const error = new UserError(code, `${subject}: ${finding}. ${consequences[action]}`);
  return { ...failedFile(path, error), kind, action, ...(id === undefined ? {} : { id }) };
}

const splitNames: Readonly<Record<string, SplitName>> = {
  train: "train",
  training: "train",
  val: "val",
  valid: "val",
  validation: "val",
  dev: "val",
  test: "test",
  testing: "test",
};

/** The split that a folder, list or key is named after, such as "valid" or "instances_val2017"; undefined for none. */
export function splitOf(name: string): SplitName | undefined {
  const words = name
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word in splitNames);
  return words.length === 0 ? undefined : splitNames[words[words.length - 1]];
}

/** Collects classes by name; names given twice become one class. */
export class ClassTable {
  readonly names: string[] = [];
  readonly origins: CategoryOrigin[] = [];
  readonly #indices = new Map<string, number>();

  /** The index of a class, and whether it was there already. */
  add(name: string, origin: CategoryOrigin): { readonly index: number; readonly isNew: boolean } {
    const known = this.#indices.get(name);
    if (known !== undefined) return { index: known, isNew: false };
    const index = this.names.length;
    this.names.push(name);
    this.origins.push(origin);
    this.#indices.set(name, index);
    return { index, isNew: true };
  }
}
