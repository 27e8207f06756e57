import type { RgbImage } from "../../core/image.ts";
import type { FetchedPackage, PackageReference } from "../../io/packages.ts";

/** One picture of a set, still to be decoded. */
export interface RecipeSample {
  /** Unique in the set, stable between runs. */
  readonly key: string;
  /** What the picture may be called; one is drawn each time it is seen. */
  readonly texts: readonly string[];
  /** The chance of each text; equal chances if left out. */
  readonly weights?: readonly number[];
  /** The class for evaluation. */
  readonly label?: string;
  readonly decode: (size: number) => Promise<RgbImage>;
}

export interface RecipeContext {
  /** A package of the recipe, fetched and checked. */
  readonly fetched: (reference: PackageReference) => FetchedPackage;
  /** The folder of the recipe's local data; recipes without `folder` never call it. */
  readonly sourceFolder: () => string;
  /** Counts a picture of the source that the recipe leaves out, by reason. */
  readonly leaveOut: (reason: string) => void;
}

/** How a public set becomes a folder of shards. */
export interface Recipe {
  readonly name: string;
  readonly summary: string;
  readonly licence: string;
  /** Where the pictures come from, for the manifest. */
  readonly source: string;
  /** Sets for evaluation may never be trained on; training sets are freed of their pictures. */
  readonly role: "training" | "evaluation";
  /** Side of the prepared pictures in pixels unless another is asked for. */
  readonly size: number;
  /** How a picture becomes a square, for the manifest. */
  readonly fit: string;
  readonly packages: readonly PackageReference[];
  /** The folder's name for data that no package has; looked up under `--source`. */
  readonly folder?: string;
  readonly samples: (context: RecipeContext) => AsyncIterable<RecipeSample>;
}
