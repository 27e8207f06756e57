import type { ColumnNames } from "../readers/columns.ts";
import type { SplitName } from "./labelled-set.ts";

/** Where the bytes of one image are. Containers that were gzipped are named by their unpacked copy. */
export type ImagePlace =
  | { readonly kind: "file"; readonly path: string }
  /** An encoded image inside a tar or a file of concatenated images. */
  | { readonly kind: "range"; readonly path: string; readonly offset: number; readonly length: number }
  /** Grey pixels as they are, one byte each, as in idx files. */
  | {
      readonly kind: "grey";
      readonly path: string;
      readonly offset: number;
      readonly width: number;
      readonly height: number;
    };

/** One image as a lister finds it: its labels still as they are written. */
export interface LabelledEntry {
  readonly key: string; // unique within its set
  readonly place: ImagePlace;
  readonly labels: readonly string[];
  readonly texts: readonly string[];
  readonly split?: SplitName;
  /** Whether a label was looked for and left blank on purpose, as for a picture that shows none of several classes. */
  readonly isBlank?: boolean;
  readonly where: string; // the row or file that says so, for reports
}

/** What is worth knowing of a set beside the rows left out. */
export interface SetNote {
  readonly kind:
    | "class-merged"
    | "class-renamed"
    | "class-absent"
    | "class-empty"
    | "encoding"
    | "ignored"
    | "descended"
    | "split-by-name";
  readonly message: string;
}

/** What listers are given. */
export interface ListContext {
  readonly root: string; // the set's folder, which keys are relative to
  readonly cacheFolder: string;
  readonly columns?: ColumnNames;
  readonly imageFolder?: string;
  readonly signal?: AbortSignal;
  readonly classList: ClassList;
  /** Reports a row or file that is left out. */
  readonly report: (path: string, error: unknown) => void;
  readonly note: (note: SetNote) => void;
  /** Makes a class known that may have no image. */
  readonly addClass: (name: string) => void;
}

/** The names of a `classes.json` or `classes.txt`, in its order, and what else a row may call each. */
export interface ClassList {
  readonly path?: string;
  readonly names: readonly string[];
  /** Identifiers, as WordNet's "n02099601" or a number, to an index into the names. */
  readonly byIdentifier: ReadonlyMap<string, number>;
}
