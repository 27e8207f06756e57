import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BatchComposer, type BatchEntry, countsFromWeights } from "./batching.ts";
import type { ShardRow } from "./shard-format.ts";

function rows(count: number, texts: string[] = ["a", "b"], weights?: number[]): ShardRow[] {
  return Array.from({ length: count }, (_, i) => ({ key: `k${i}`, texts, ...(weights && { weights }) }));
}

const mix = () => [
  { name: "photos", rows: rows(50), perBatch: 6 },
  { name: "emoji", rows: rows(7, ["x"]), perBatch: 3 },
];

describe("BatchComposer", () => {
  it("gives the same batch whether reached in order, by a jump or again", () => {
    const sequential = new BatchComposer(mix(), 11);
    const inOrder: BatchEntry[][] = [];
    for (let step = 0; step < 40; step++) inOrder.push(sequential.batchAt(step));
    expect(new BatchComposer(mix(), 11).batchAt(39)).toEqual(inOrder[39]);
    for (const step of [0, 39, 8, 9, 8, 20]) expect(sequential.batchAt(step)).toEqual(inOrder[step]);
    expect(new BatchComposer(mix(), 12).batchAt(39)).not.toEqual(inOrder[39]);
  });

  it("sees every row once an epoch, in a new order each time", () => {
    const composer = new BatchComposer([{ name: "photos", rows: rows(50), perBatch: 6 }], 3);
    const seen: number[] = [];
    for (let step = 0; step < 25; step++) seen.push(...composer.batchAt(step).map((entry) => entry.row));
    const epochs = [0, 1, 2].map((epoch) => seen.slice(epoch * 50, epoch * 50 + 50));
    for (const epoch of epochs) expect(new Set(epoch).size).toBe(50);
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(epochs[1]).not.toEqual(epochs[2]);
  });

  it("keeps a set's order when another set joins the mix", () => {
    const alone = new BatchComposer(mix().slice(1), 5).batchAt(4);
    const joined = new BatchComposer(mix(), 5).batchAt(4).filter((entry) => entry.source === 1);
    expect(joined.map(({ row, text, seed }) => [row, text, seed])).toEqual(
      alone.map(({ row, text, seed }) => [row, text, seed]),
    );
  });

  it("draws texts by their weights, and seeds that differ", () => {
    const composer = new BatchComposer([{ name: "s", rows: rows(100, ["a", "b", "c"], [3, 0, 1]), perBatch: 100 }], 1);
    const counts = [0, 0, 0];
    const seeds = new Set<number>();
    for (let step = 0; step < 40; step++) {
      for (const { text, seed } of composer.batchAt(step)) {
        counts[text]++;
        seeds.add(seed);
      }
    }
    expect(counts[1]).toBe(0);
    expect(counts[0] / 4000).toBeGreaterThan(0.72);
    expect(counts[0] / 4000).toBeLessThan(0.78);
    expect(seeds.size).toBeGreaterThan(3995);
  });

  it("takes a row's own name in the asked share of draws, the weights ruling the rest", () => {
    const set = { name: "s", rows: rows(100, ["own", "b", "c"], [1, 0, 1]), perBatch: 100 };
    const share = (ownNameShare: number): number => {
      const composer = new BatchComposer([{ ...set, ownNameShare }], 1);
      const texts = Array.from({ length: 40 }, (_, step) => composer.batchAt(step).map(({ text }) => text)).flat();
      return texts.filter((text) => text === 0).length / texts.length;
    };
    expect(share(1)).toBe(1);
    expect(share(0.6)).toBeCloseTo(0.8, 1);
    expect(share(0)).toBeCloseTo(0.5, 1);
  });

  it("counts epochs and skips sets that are asked for nothing", () => {
    const composer = new BatchComposer([...mix(), { name: "off", rows: [], perBatch: 0 }], 1);
    expect(composer.batchSize).toBe(9);
    expect(composer.epochsAt(25)).toEqual({ photos: 3, emoji: 75 / 7 });
  });

  it("refuses empty sets, rows without text, equal names and odd counts", () => {
    expect(() => new BatchComposer([{ name: "e", rows: [], perBatch: 1 }], 1)).toThrow(/Set "e": must have rows/);
    expect(() => new BatchComposer([{ name: "t", rows: rows(2, []), perBatch: 1 }], 1)).toThrow(/none for "k0"/);
    expect(() => new BatchComposer([...mix(), ...mix()], 1)).toThrow(/names must differ/);
    expect(() => new BatchComposer([{ name: "h", rows: rows(2), perBatch: 1.5 }], 1)).toThrow(/whole number/);
    expect(() => new BatchComposer(mix(), 1).batchAt(-1)).toThrow(/step must be/);
  });
});

describe("countsFromWeights", () => {
  it("splits by largest remainder", () => {
    expect(countsFromWeights([1, 1, 1], 10)).toEqual([4, 3, 3]);
    expect(countsFromWeights([0.7, 0.2, 0.1], 128)).toEqual([90, 25, 13]);
    expect(countsFromWeights([5, 0], 8)).toEqual([8, 0]);
    expect(() => countsFromWeights([0, 0], 8)).toThrow(/positive sum/);
  });

  it("always adds up, each count within one of its share", () => {
    const weights = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 4096 }), (list, batchSize) => {
        const counts = countsFromWeights(list, batchSize);
        const total = list.reduce((sum, weight) => sum + weight, 0);
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(batchSize);
        for (const [i, count] of counts.entries())
          expect(Math.abs(count - (list[i] / total) * batchSize)).toBeLessThan(1.000001);
      }),
      { numRuns: 200 },
    );
  });
});
