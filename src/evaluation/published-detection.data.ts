/** AP in percent on a test part, as published; each on its own packaging of the set. */
export interface PublishedDetection {
  readonly set: string; // our folder's name
  readonly florence: number; // zero-shot, Florence (arXiv:2111.11432), Table 7
  readonly zeroShotBaseline: number; // its ZSD: Dynamic Head and BERT, trained on Objects365
  readonly fiveShot: number; // Dynamic Head, Swin-L
  readonly full: number; // the same
}

/** Rows of Florence's Table 7 whose sets are openly at hand. */
export const publishedDetection: readonly PublishedDetection[] = [
  { set: "aquarium", florence: 43.1, zeroShotBaseline: 16.0, fiveShot: 39.0, full: 53.1 },
  { set: "chess-pieces", florence: 13.4, zeroShotBaseline: 0.1, fiveShot: 57.3, full: 80.7 },
  { set: "packages", florence: 79.6, zeroShotBaseline: 58.3, fiveShot: 32.8, full: 52.0 },
  { set: "pothole", florence: 53.3, zeroShotBaseline: 2.4, fiveShot: 10.8, full: 61.8 },
];
