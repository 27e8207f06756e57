import { ExactIndex } from "../../search/exact-index.ts";

/** A file and its cosine similarity to the query, in [-1, 1]. */
export interface ScoredFile {
  readonly path: string;
  readonly score: number;
}

export interface RetrievalOptions {
  /** How many files at most. */
  readonly top: number;
  /** Files that score below are left out. */
  readonly threshold?: number;
}

/** Pictures that can be searched by any embedding of the same model. */
export class ImageCollection {
  readonly paths: readonly string[];
  readonly #index: ExactIndex;

  /** @param embeddings  [paths × embedDim], L2-normalised */
  constructor(paths: readonly string[], embeddings: Float32Array, embedDim: number) {
    this.paths = paths;
    this.#index = new ExactIndex(embeddings, embedDim);
  }

  /** The files nearest to an L2-normalised query, best first. */
  nearest(query: Float32Array, { top, threshold }: RetrievalOptions): ScoredFile[] {
    return this.#index.nearest(query, top, { threshold }).map(({ row, score }) => ({ path: this.paths[row], score }));
  }
}
