import type { RgbImage } from "../../core/image.ts";
import type { DatasetFormat } from "../readers/open-dataset.ts";
import type { DatasetProblem } from "../readers/record.ts";

/** The parts of a dataset by what they are for. A dataset without a division has all its images in `train`. */
export type SplitName = "train" | "val" | "test";

/** One image of a labelled set, not decoded yet. */
export interface LabelledImage {
  readonly key: string; // unique within the set; stays the same whatever else is in it
  readonly labels: readonly number[]; // indices into the set's classes: one, several (multi-label), or none (captions only)
  readonly texts: readonly string[]; // captions, if it has any
}

/** A labelled or captioned set as tasks read it: classes, splits, images decoded on demand. */
export interface LabelledSet {
  readonly name: string;
  readonly path: string;
  readonly format: DatasetFormat;
  readonly classes: readonly string[]; // names in words, no two equal; a class may have no image
  readonly isMultiLabel: boolean;
  readonly splits: ReadonlyMap<SplitName, readonly LabelledImage[]>; // a split that is not there is absent, never empty
  readonly problems: readonly DatasetProblem[]; // rows and files left out, each with its place
  /** SHA-256 in hex over keys, labels, texts and image bytes' identity: what the evaluation ledger calls the data's hash. */
  readonly fingerprint: string;
  /** Reads and decodes one image. @throws UserError naming the file */
  decode(image: LabelledImage): Promise<RgbImage>;
  /** Frees open files; the set is unusable afterwards. */
  close(): Promise<void>;
}
