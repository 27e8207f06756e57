import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { medianRank, recallAtK, retrievalRanks, retrievalRanksFromScores } from "./recall-at-k.ts";

describe("retrievalRanks by hand", () => {
  // Three images; texts 0 and 1 describe image 0, text 2 image 1, text 3 image 2.
  const imageOfText = [0, 0, 1, 2];
  const scores = Float32Array.of(
    ...[0.9, 0.1, 0.3, 0.2], // image 0: its caption 0 wins; its caption 1 does not matter
    ...[0.5, 0.4, 0.45, 0.1], // image 1: text 0 is above its caption
    ...[0.1, 0.6, 0.5, 0.5], // image 2: text 1 above, text 2 ties with its caption
  );

  it("ranks both directions, best of several captions, ties against the model", () => {
    const { imageToText, textToImage } = retrievalRanksFromScores(scores, 3, imageOfText);
    expect(Array.from(imageToText)).toEqual([0, 1, 2]);
    expect(Array.from(textToImage)).toEqual([0, 2, 1, 0]);
    expect(recallAtK(imageToText, 1)).toBeCloseTo(1 / 3, 12);
    expect(recallAtK(imageToText, 2)).toBeCloseTo(2 / 3, 12);
    expect(recallAtK(textToImage, 1)).toBe(0.5);
    expect(medianRank(textToImage)).toBe(1.5);
    expect(medianRank(imageToText)).toBe(2);
  });

  it("refuses an image without caption and sizes that do not fit", () => {
    expect(() => retrievalRanksFromScores(scores, 3, [0, 0, 1, 1])).toThrow(
      "every image must have a caption, got none for 2",
    );
    expect(() => retrievalRanksFromScores(scores, 2, imageOfText)).toThrow(ShapeError);
    expect(() => retrievalRanks(new Float32Array(6), new Float32Array(8), 2, [0, 1, 2, 3])).toThrow(
      "[0, 3), got 3 at 3",
    );
  });
});

describe("retrievalRanks", () => {
  it.each([
    ["constant", 0.5],
    ["NaN", Number.NaN],
  ])("finds nothing with %s embeddings", (_name, value) => {
    const ranks = retrievalRanks(new Float32Array(12).fill(value), new Float32Array(24).fill(value), 2, [
      ...[0, 1, 2, 3, 4, 5],
      ...[0, 1, 2, 3, 4, 5],
    ]);
    expect(recallAtK(ranks.textToImage, 5)).toBe(0);
    expect(recallAtK(ranks.imageToText, 10)).toBe(0);
  });

  it("agrees with a naive sort of the full matrix", () => {
    const rng = new Rng("retrieval");
    const [images, perImage, dim] = [30, 5, 8];
    const draw = (rows: number) => Float32Array.from({ length: rows * dim }, () => rng.normal());
    const imageRows = draw(images);
    const textRows = draw(images * perImage);
    const imageOfText = Array.from(rng.permutation(images * perImage), (place) => place % images);
    const { imageToText, textToImage } = retrievalRanks(imageRows, textRows, dim, imageOfText);

    const dot = (i: number, t: number) =>
      Array.from({ length: dim }, (_, d) => imageRows[i * dim + d] * textRows[t * dim + d]).reduce((a, b) => a + b);
    const best = (ids: number[], score: (id: number) => number) => ids.toSorted((a, b) => score(b) - score(a));
    for (const k of [1, 5, 10]) {
      const hitsOfImages = [...Array(images).keys()].filter((i) =>
        best([...imageOfText.keys()], (t) => dot(i, t))
          .slice(0, k)
          .some((t) => imageOfText[t] === i),
      );
      expect(recallAtK(imageToText, k)).toBe(hitsOfImages.length / images);
      const hitsOfTexts = imageOfText.filter((own, t) =>
        best([...Array(images).keys()], (i) => dot(i, t))
          .slice(0, k)
          .includes(own),
      );
      expect(recallAtK(textToImage, k)).toBe(hitsOfTexts.length / imageOfText.length);
    }
  });
});
