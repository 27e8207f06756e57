import { ShapeError } from "../core/errors.ts";

/** Zero-based ranks of the right answer to every query, in both directions of image–text retrieval. */
export interface RetrievalRanks {
  /** [images]: of each image's best caption among all texts that are not its captions. */
  readonly imageToText: Int32Array;
  /** [texts]: of each text's image among all images. */
  readonly textToImage: Int32Array;
}

/**
 * Ranks from embeddings, by dot product; an image may have any number of captions, at least one. Never holds the
 * matrix of all scores. A rank is the number of wrong candidates whose score is not below that of the right one, so a
 * tie (and a NaN) counts against the model, and a constant model finds nothing.
 *
 * An image counts as found by its best caption, as usual with several captions an image (Karpathy and Fei-Fei,
 * arXiv:1412.2306); its other captions never push that one down.
 *
 * @param images row-major [images, dim]
 * @param texts row-major [texts, dim]
 * @param imageOfText [texts], the row in `images` that each text describes
 */
export function retrievalRanks(
  images: Float32Array,
  texts: Float32Array,
  dim: number,
  imageOfText: ArrayLike<number>,
): RetrievalRanks {
  if (images.length % dim !== 0 || texts.length !== imageOfText.length * dim) {
    const sizes = `${images.length}, ${texts.length} and ${imageOfText.length}`;
    throw new ShapeError(`Retrieval: must be [images, ${dim}], [texts, ${dim}] and [texts], got sizes ${sizes}.`);
  }
  const score = (image: number, text: number) => {
    let sum = 0;
    const imageStart = image * dim;
    const textStart = text * dim;
    for (let i = 0; i < dim; i++) sum += images[imageStart + i] * texts[textStart + i];
    return sum;
  };
  return rankPairs(images.length / dim, imageOfText, score);
}

/** As `retrievalRanks`, from a matrix of scores, row-major [images, texts]. */
export function retrievalRanksFromScores(
  scores: Float32Array,
  images: number,
  imageOfText: ArrayLike<number>,
): RetrievalRanks {
  const texts = imageOfText.length;
  if (scores.length !== images * texts) {
    throw new ShapeError(`Retrieval: scores must be [${images}, ${texts}], got ${scores.length} values.`);
  }
  return rankPairs(images, imageOfText, (image, text) => scores[image * texts + text]);
}

/** Recall at k: the share of queries whose right answer is among the best `k`, in [0, 1]. */
export function recallAtK(ranks: Int32Array, k: number): number {
  return ranks.reduce((hits, rank) => hits + (rank < k ? 1 : 0), 0) / ranks.length;
}

/** The median rank counted from 1, as papers print it. */
export function medianRank(ranks: Int32Array): number {
  const sorted = ranks.toSorted();
  const middle = sorted.length >> 1;
  return 1 + (sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2);
}

function rankPairs(
  images: number,
  imageOfText: ArrayLike<number>,
  score: (image: number, text: number) => number,
): RetrievalRanks {
  const texts = imageOfText.length;
  const ownOfText = new Float64Array(texts); // of each text with its image
  const bestOfImage = new Float64Array(images).fill(Number.NaN); // of each image with its best caption
  const captioned = new Uint8Array(images);
  for (let text = 0; text < texts; text++) {
    const image = imageOfText[text];
    if (!Number.isInteger(image) || image < 0 || image >= images) {
      throw new ShapeError(`Retrieval: a text's image must be an integer in [0, ${images}), got ${image} at ${text}.`);
    }
    const own = score(image, text);
    ownOfText[text] = own;
    captioned[image] = 1;
    if (!(own <= bestOfImage[image]) && !Number.isNaN(own)) bestOfImage[image] = own;
  }
  const missing = captioned.indexOf(0);
  if (missing >= 0) throw new ShapeError(`Retrieval: every image must have a caption, got none for ${missing}.`);
  const imageToText = new Int32Array(images);
  const textToImage = new Int32Array(texts);
  for (let image = 0; image < images; image++) {
    const best = bestOfImage[image];
    let rank = 0;
    for (let text = 0; text < texts; text++) {
      if (imageOfText[text] === image) continue;
      const value = score(image, text);
      if (!(value < best)) rank++;
      if (!(value < ownOfText[text])) textToImage[text]++;
    }
    imageToText[image] = rank;
  }
  return { imageToText, textToImage };
}
