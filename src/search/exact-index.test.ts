import { describe, expect, it } from "vitest";
import { ShapeError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { ExactIndex } from "./exact-index.ts";

function randomVectors(count: number, embedDim: number, seed: number): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: count * embedDim }, () => rng.uniform(-1, 1));
}

function naiveNearest(vectors: Float32Array, query: Float32Array, count: number, threshold = -Infinity) {
  const scored = Array.from({ length: vectors.length / query.length }, (_, row) => {
    let score = 0;
    for (let i = 0; i < query.length; i++) score += vectors[row * query.length + i] * query[i];
    return { row, score };
  });
  const kept = scored.filter(({ score }) => score >= threshold);
  return kept.sort((a, b) => b.score - a.score || a.row - b.row).slice(0, count);
}

describe("ExactIndex", () => {
  it.each([
    { rows: 1, embedDim: 1, count: 1 },
    { rows: 500, embedDim: 3, count: 7 }, // only the tail of the unrolled loop
    { rows: 500, embedDim: 19, count: 500 }, // all rows, unrolled part and tail
    { rows: 2000, embedDim: 64, count: 10 },
    { rows: 20, embedDim: 8, count: 50 }, // more asked for than there is
  ])("finds what a full sort finds: $rows rows, $embedDim dimensions, top $count", ({ rows, embedDim, count }) => {
    const vectors = randomVectors(rows, embedDim, rows + embedDim);
    const query = randomVectors(1, embedDim, 99);
    const found = new ExactIndex(vectors, embedDim).nearest(query, count);
    const expected = naiveNearest(vectors, query, count);
    expect(found.map(({ row }) => row)).toEqual(expected.map(({ row }) => row));
    found.forEach(({ score }, i) => {
      expect(score).toBeCloseTo(expected[i].score, 10);
    });
  });

  it("keeps the order of rows among equal scores", () => {
    const vectors = Float32Array.from([1, 0, 0.5, 0, 1, 0, 1, 0, 0.5, 0]);
    const rows = new ExactIndex(vectors, 2).nearest(Float32Array.of(1, 0), 4).map(({ row }) => row);
    expect(rows).toEqual([0, 2, 3, 1]);
  });

  it("leaves out rows under the threshold, and rows whose score is not a number", () => {
    const vectors = Float32Array.from([1, 0, Number.NaN, 0, 0.2, 0, 0.6, 0]);
    const rows = new ExactIndex(vectors, 2).nearest(Float32Array.of(1, 0), 4, { threshold: 0.5 });
    expect(rows.map(({ row }) => row)).toEqual([0, 3]);
  });

  it("answers an empty index with nothing", () => {
    expect(new ExactIndex(new Float32Array(0), 4).nearest(new Float32Array(4), 3)).toEqual([]);
  });

  it("refuses shapes that do not fit", () => {
    expect(() => new ExactIndex(new Float32Array(5), 2)).toThrow(ShapeError);
    expect(() => new ExactIndex(new Float32Array(4), 2).nearest(new Float32Array(3), 1)).toThrow(/2 numbers, got 3/);
  });

  it("scans 100,000 rows of 256 numbers in well under a second", () => {
    const vectors = randomVectors(1000, 256, 1);
    const large = new Float32Array(100_000 * 256);
    for (let offset = 0; offset < large.length; offset += vectors.length) large.set(vectors, offset);
    const index = new ExactIndex(large, 256);
    const query = randomVectors(1, 256, 2);
    const milliseconds = Array.from({ length: 7 }, () => {
      const started = performance.now();
      index.nearest(query, 10);
      return performance.now() - started;
    });
    const median = milliseconds.sort((a, b) => a - b)[3];
    console.log(`exact scan of 100,000 × 256: ${median.toFixed(1)} ms (median of 7)`);
    expect(median).toBeLessThan(400); // generous: the machine may be busy; bench/ holds the measurement
  });
});
